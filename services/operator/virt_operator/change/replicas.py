"""The proof of virt-controller's and virt-api's new pods while their release changes. Pure; called by object_steps.py.

Kubernetes replaces the pods of a Deployment, but not before the first new one is proven (hold.py); the next component
waits until all that are ready are. A new virt-controller must also lead and reconcile (leading.py). If one fails, or
takes longer to become ready than the pods of a wave may (probing.py), the whole change goes back (stopping.py). One
that was proven and is not ready later is only named, and while the change is paused each one is (excuse.py).
"""

from __future__ import annotations

from virt_core.conventions import components
from virt_core.conventions.component_pod import TEMPLATE_HASH

from virt_operator.change import hold, leading, rollout
from virt_operator.change.excuse import excuse
from virt_operator.change.objects import ObjectState
from virt_operator.change.probing import Proof, late, proof_of
from virt_operator.change.rollout import trouble
from virt_operator.change.situation import Progress, Situation
from virt_operator.change.stopping import stopped_by
from virt_operator.suite.actions import WaitFor
from virt_operator.suite.observed import PodObject


def proven(situation: Situation, state: ObjectState) -> Progress:
    """What is next of a Deployment whose template is as desired."""
    observed, ref = situation.observed, str(state.ref)
    new = rollout.new_pods(state.ref.name, observed, rollout.template_hash_of(state.body))
    proofs = [(f"pod {pod.metadata.name}", proof_of(situation, pod, "")) for pod in new]
    starting, excused = _excused(situation, state, _starting(situation, state))
    for what, proof in (*proofs, *starting):
        if proof.fault is not None:
            stopped = stopped_by(situation, state.ref.name, what, proof.fault)
            return Progress(waits=(WaitFor(ref, f"{what} has failed"),), stopped=stopped)
    pending = [proof for _, proof in proofs if proof.wait]
    held = hold.is_held(state.live, state.body) and bool(new)
    waits = [WaitFor(ref, f"{hold.WHY}: {proof.wait}" if held else proof.wait) for proof in pending]
    found = Progress(
        tuple(proof.action for proof in pending if proof.action is not None),
        (*waits, *excused),
        deadline=min(filter(None, (proof.deadline for _, proof in (*proofs, *starting))), default=None),
    )
    if state.ref.name != components.CONTROLLER:
        return found
    return found.and_then(leading.reconciles(situation, state, new))


def _excused(
    situation: Situation, state: ObjectState, starting: list[tuple[PodObject | None, Proof]]
) -> tuple[list[tuple[str, Proof]], list[WaitFor]]:
    """What is not ready and may send the change back, and waits that name what would, but for an excuse."""
    found, waits, ref = [], [], str(state.ref)
    for pod, proof in starting:
        what = f"pod {pod.metadata.name}" if pod is not None else ref
        why = excuse(situation, state, pod) if proof.fault is not None else ""
        if why:
            waits.append(WaitFor(ref, f"{what} {why}"))
        else:
            found.append((what, proof))
    return found, waits


def _starting(situation: Situation, state: ObjectState) -> list[tuple[PodObject | None, Proof]]:
    """The new pods that are not ready, or None because there is none. They have as long as those of a wave; what the
    Deployment waits for, it says itself."""
    name, observed, change = state.ref.name, situation.observed, situation.suite.status.change
    template_hash = rollout.template_hash_of(state.body)
    there = [
        pod
        for pod in rollout.pods_of(name, observed.pods)
        if pod.metadata.annotations.get(TEMPLATE_HASH) == template_hash and not pod.ended
    ]
    if not there:
        since = change.since if change is not None and change.step == name else ""
        why = state.unready or ""
        return [(None, late(situation, since, why))] if since and why else []
    begun = change.started_at if change is not None else ""
    return [
        (pod, late(situation, max(begun, pod.unready_since), f"pod {pod.metadata.name} is not ready{trouble([pod])}"))
        for pod in there
        if not pod.ready and pod.metadata.deletion_timestamp is None and observed.node_trouble(pod) is None
    ]
