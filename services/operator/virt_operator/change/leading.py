"""The proof that a new virt-controller leads and reconciles. Pure; called by replicas.py.

A standby is ready and proves nothing. So when a new pod has answered its probes, the old pod that holds the Lease is
deleted: it releases the Lease as it ends, and another pod takes it, at once. Once a new one leads, it must reconcile a
guest of the suite's own (proof/work.py). Kubernetes replaces deleted pods; each old pod is deleted once at most.
"""

from __future__ import annotations

from virt_core.objects.meta import rfc3339

from virt_operator.change import rollout
from virt_operator.change.hold import has_answered, has_reconciled
from virt_operator.change.objects import ObjectState
from virt_operator.change.probing import PATIENCE, Proof, work_of
from virt_operator.change.situation import Progress, Situation
from virt_operator.change.stopping import stopped_by
from virt_operator.suite.actions import DeletePod, WaitFor
from virt_operator.suite.observed import Fault, Observed, PodObject

LEADERSHIP = "leadership"
"""Name of the probe."""


def reconciles(situation: Situation, state: ObjectState, new: list[PodObject]) -> Progress:
    """What is next, until one of the `new` pods has led and reconciled."""
    observed, ref = situation.observed, str(state.ref)
    answered = [pod for pod in new if has_answered(observed, pod)]
    if not answered or any(has_reconciled(observed, pod) for pod in new):
        skipped = [observed.works[pod.metadata.uid].skipped for pod in new if has_reconciled(observed, pod)]
        return Progress(
            later=tuple(WaitFor(ref, f"whether it reconciles is not proven: {why}") for why in skipped if why)
        )
    leader = next((pod for pod in answered if pod.metadata.name == observed.controller_leader), None)
    proof = work_of(situation, leader) if leader is not None else _leads(observed, answered)
    if proof.fault is not None:
        name = (leader or answered[0]).metadata.name
        stopped = stopped_by(situation, state.ref.name, f"pod {name}", proof.fault)
        return Progress(waits=(WaitFor(ref, f"pod {name} has failed"),), stopped=stopped)
    if not proof.wait:
        return Progress()
    deletions = _handover(observed, state, answered) if leader is None else ()
    actions = (proof.action,) if proof.action is not None else ()
    return Progress((*deletions, *actions), (WaitFor(ref, proof.wait),), deadline=proof.deadline)


def _leads(observed: Observed, answered: list[PodObject]) -> Proof:
    """Waits for the Lease, for a limited time after the first of these pods has passed its probes."""
    names = ", ".join(pod.metadata.name for pod in answered)
    since = min(observed.probes[pod.metadata.uid].last for pod in answered)
    until = max(since, observed.able_since or since) + PATIENCE
    holder = observed.controller_leader or "nobody"
    if observed.now >= until:
        seconds = int(PATIENCE.total_seconds())
        return Proof(fault=Fault(LEADERSHIP, f"has not taken the Lease within {seconds} s; {holder} holds it"))
    return Proof(f"{holder} holds the Lease that pod {names} should take, until {rfc3339(until)}", deadline=until)


def _handover(observed: Observed, state: ObjectState, answered: list[PodObject]) -> tuple[DeletePod, ...]:
    """The old pod that leads, unless it is younger than the new ones: then these have not taken the free Lease."""
    oldest = min(pod.metadata.creation_timestamp for pod in answered)
    old = rollout.outdated(rollout.pods_of(state.ref.name, observed.pods), rollout.template_hash_of(state.body))
    return tuple(
        DeletePod(pod.metadata.name, pod.metadata.uid, "a new pod shall lead")
        for pod in old
        if pod.metadata.name == observed.controller_leader
        and pod.metadata.deletion_timestamp is None
        and pod.metadata.creation_timestamp <= oldest
    )
