"""The proof of virt-controller's and virt-api's new pods while their release changes. Pure; called by object_steps.py.

Kubernetes replaces the pods of a Deployment, but not before the first new one is proven (hold.py); the next component
waits until all that are ready are. A new virt-controller must also lead and reconcile (leading.py). If one fails, the
whole change goes back (stopping.py).
"""

from __future__ import annotations

from virt_core.conventions import components

from virt_operator.change import hold, leading, rollout
from virt_operator.change.objects import ObjectState
from virt_operator.change.probing import proof_of
from virt_operator.change.situation import Progress, Situation
from virt_operator.change.stopping import stopped_by
from virt_operator.suite.actions import WaitFor


def proven(situation: Situation, state: ObjectState) -> Progress:
    """What is next of a Deployment whose template is as desired."""
    observed, ref = situation.observed, str(state.ref)
    new = rollout.new_pods(state.ref.name, observed, rollout.template_hash_of(state.body))
    proofs = [(pod.metadata.name, proof_of(situation, pod, "")) for pod in new]
    for name, proof in proofs:
        if proof.fault is not None:
            stopped = stopped_by(situation, state.ref.name, f"pod {name}", proof.fault)
            return Progress(waits=(WaitFor(ref, f"pod {name} has failed"),), stopped=stopped)
    pending = [proof for _, proof in proofs if proof.wait]
    held = hold.is_held(state.live, state.body) and bool(new)
    waits = [WaitFor(ref, f"{hold.WHY}: {proof.wait}" if held else proof.wait) for proof in pending]
    found = Progress(
        tuple(proof.action for proof in pending if proof.action is not None),
        tuple(waits),
        deadline=min((proof.deadline for proof in pending if proof.deadline is not None), default=None),
    )
    if state.ref.name != components.CONTROLLER:
        return found
    return found.and_then(leading.reconciles(situation, state, new))
