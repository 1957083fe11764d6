"""The proof of virt-controller's and virt-api's new pods while their release changes. Pure; called by object_steps.py.

Kubernetes replaces the pods of a Deployment by itself; the next component waits until those that are ready are proven.
If one fails, the whole change goes back (stopping.py).
"""

from __future__ import annotations

from virt_core.conventions.component_pod import TEMPLATE_HASH

from virt_operator.change import rollout
from virt_operator.change.objects import ObjectState
from virt_operator.change.probing import proof_of
from virt_operator.change.situation import Progress, Situation
from virt_operator.change.stopping import stopped_by
from virt_operator.suite.actions import WaitFor


def proven(situation: Situation, state: ObjectState) -> Progress:
    """What is next of a Deployment whose template is as desired."""
    template_hash, ref = rollout.template_hash_of(state.body), str(state.ref)
    new = [
        pod
        for pod in rollout.reachable(state.ref.name, situation.observed)
        if pod.metadata.annotations.get(TEMPLATE_HASH) == template_hash
        and pod.ready
        and pod.metadata.deletion_timestamp is None
    ]
    proofs = [(pod.metadata.name, proof_of(situation, pod, "")) for pod in new]
    for name, proof in proofs:
        if proof.fault is not None:
            stopped = stopped_by(situation, state.ref.name, f"pod {name}", proof.fault)
            return Progress(waits=(WaitFor(ref, f"pod {name} has failed"),), stopped=stopped)
    pending = [proof for _, proof in proofs if proof.wait]
    return Progress(
        tuple(proof.action for proof in pending if proof.action is not None),
        tuple(WaitFor(ref, proof.wait) for proof in pending),
        deadline=min((proof.deadline for proof in pending if proof.deadline is not None), default=None),
    )
