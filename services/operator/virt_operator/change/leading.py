"""The proof that a new virt-controller leads and reconciles. Pure; called by replicas.py.

A standby is ready and proves nothing. So when a new pod has answered its probes and an old one holds the Lease, all old
pods are deleted: the one that leads releases the Lease as it ends, and until the pods start that Kubernetes makes in
their place, only a new one can take it. Once it leads, it must reconcile a guest of the suite's own (proof/work.py). A
pod that was made in their place may still be quicker; that says nothing of the new ones, and they get another chance.
"""

from __future__ import annotations

from datetime import datetime, timedelta

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

CHANCE = timedelta(seconds=1)
"""A candidate that works takes a free Lease within milliseconds; a container needs longer to start."""

LONGEST = timedelta(minutes=2)
"""From the first answer of a new pod, if old pods are quicker each time."""

_BETWEEN = timedelta(seconds=15)  # two chances


def reconciles(situation: Situation, state: ObjectState, new: list[PodObject]) -> Progress:
    """What is next, until one of the `new` pods has led and reconciled."""
    observed, ref = situation.observed, str(state.ref)
    answered = [pod for pod in new if has_answered(observed, pod)]
    if not answered or any(has_reconciled(observed, pod) for pod in new):
        skipped = [observed.works[pod.metadata.uid].skipped for pod in new if has_reconciled(observed, pod)]
        return Progress(
            later=tuple(WaitFor(ref, f"whether it reconciles is not proven: {why}") for why in skipped if why)
        )
    leader = _leading(observed, answered)
    old = _old(observed, state)
    proof = work_of(situation, leader) if leader is not None else _leads(observed, answered, old)
    if proof.fault is not None:
        name = (leader or answered[0]).metadata.name
        stopped = stopped_by(situation, state.ref.name, f"pod {name}", proof.fault)
        return Progress(waits=(WaitFor(ref, f"pod {name} has failed"),), stopped=stopped)
    if not proof.wait:
        return Progress()
    deletions = _handover(observed, answered, old) if leader is None else ()
    actions = (proof.action,) if proof.action is not None else ()
    return Progress((*deletions, *actions), (WaitFor(ref, proof.wait),), deadline=proof.deadline)


def _leads(observed: Observed, answered: list[PodObject], old: list[PodObject]) -> Proof:
    """Waits for the Lease, for a limited time. A new pod has failed only if it could have taken the Lease."""
    names = ", ".join(pod.metadata.name for pod in answered)
    holder, unlucky = observed.controller_leader or "nobody", _is_unlucky(observed, answered)
    free_since = observed.controller_leads_since if not observed.controller_leader else None
    since = max(filter(None, (_first_answer(observed, answered), observed.able_since, free_since)))
    patience = LONGEST if unlucky else PATIENCE
    until = since + patience
    if observed.now >= until:
        never = ", in which it was never free for long" if unlucky else ""
        why = f"has not taken the Lease within {int(patience.total_seconds())} s{never}; {holder} holds it"
        return Proof(fault=Fault(LEADERSHIP, why))
    wait = f"{holder} holds the Lease that pod {names} should take, until {rfc3339(until)}"
    chance = _next_chance(observed, answered, old) if unlucky else None
    if chance is not None and chance < until:
        return Proof(f"{wait}; it was quicker, and is replaced from {rfc3339(chance)} on", deadline=chance)
    return Proof(wait, deadline=until)


def _is_unlucky(observed: Observed, answered: list[PodObject]) -> bool:
    """Whether another pod holds the Lease, also one that is gone, and it was never free for long since a new one has
    answered."""
    if not observed.controller_leader:
        return False
    taken, vacancy = observed.controller_leads_since, observed.controller_vacancy
    return taken is None or vacancy < CHANCE or taken - vacancy < _first_answer(observed, answered)


def _handover(observed: Observed, answered: list[PodObject], old: list[PodObject]) -> tuple[DeletePod, ...]:
    """All old pods, if one of them leads and no new one has had its chance."""
    leading = _leading(observed, old)
    if leading is None or leading.metadata.deletion_timestamp is not None:
        return ()  # for one that ends slowly no further one is deleted
    if not _is_unlucky(observed, answered) or _next_chance(observed, answered, old) is not None:
        return ()
    living = (pod for pod in old if pod.metadata.deletion_timestamp is None)
    return tuple(DeletePod(pod.metadata.name, pod.metadata.uid, "a new pod shall lead") for pod in living)


def _next_chance(observed: Observed, answered: list[PodObject], old: list[PodObject]) -> datetime | None:
    """When an old pod that leads is deleted, too, because it was made after the new ones and was quicker; None: now."""
    leading, taken = _leading(observed, old), observed.controller_leads_since
    if leading is None or taken is None or observed.now >= taken + _BETWEEN:
        return None
    oldest = min(pod.metadata.creation_timestamp for pod in answered)
    return taken + _BETWEEN if leading.metadata.creation_timestamp > oldest else None


def _leading(observed: Observed, pods: list[PodObject]) -> PodObject | None:
    return next((pod for pod in pods if pod.metadata.name == observed.controller_leader), None)


def _first_answer(observed: Observed, answered: list[PodObject]) -> datetime:
    return min(observed.probes[pod.metadata.uid].last for pod in answered)


def _old(observed: Observed, state: ObjectState) -> list[PodObject]:
    return rollout.outdated(rollout.pods_of(state.ref.name, observed.pods), rollout.template_hash_of(state.body))
