"""The proof of handlers that no wave has proven: of nodes that were away during a change, or are new. Pure.

Called by object_steps.py while no change is in progress. Every handler that is a few minutes old at most is probed like
those of a wave, but without a guest. Nothing waits for it and nothing goes back: one that fails is named in the
conditions, and after its patience it is not asked again.
"""

from __future__ import annotations

from datetime import timedelta

from virt_core.objects.meta import seconds_since

from virt_operator.change import rollout
from virt_operator.change.objects import ObjectState
from virt_operator.change.probing import proof_of
from virt_operator.change.situation import Progress, Situation
from virt_operator.change.versions import is_older
from virt_operator.suite.actions import WaitFor
from virt_operator.suite.observed import Observed, PodObject

_YOUNG = timedelta(minutes=10)
_AT_ONCE = 20  # probes in a pass
_NAMED = 3  # nodes in a message


def proofs(situation: Situation, state: ObjectState) -> Progress:
    """The next probes of young handlers, and the names of those that have failed."""
    if situation.operation or situation.settings is None:
        return Progress()
    observed, template_hash = situation.observed, rollout.template_hash_of(state.body)
    lenient = is_older(situation.strategy.release, situation.operator.release)
    pods = rollout.new_pods(state.ref.name, observed, template_hash)
    found = [
        (pod, proof_of(situation, pod, "", lenient=lenient))
        for pod in pods
        if pod.metadata.uid in observed.probes or _is_young(observed, pod)
    ]
    actions = [proof.action for _, proof in found if proof.action is not None]
    failed = sorted(
        f"the handler on node {pod.node} failed the probe {proof.fault.probe}: {proof.fault.message}"
        for pod, proof in found
        if proof.fault is not None
    )
    named = failed[:_NAMED] + ([f"{len(failed) - _NAMED} more handlers failed"] if len(failed) > _NAMED else [])
    return Progress(
        tuple(actions[:_AT_ONCE]),
        later=tuple(WaitFor(str(state.ref), why) for why in named),
        deadline=min((proof.deadline for _, proof in found if proof.deadline is not None), default=None),
    )


def _is_young(observed: Observed, pod: PodObject) -> bool:
    made = pod.metadata.creation_timestamp
    return bool(made) and seconds_since(made, observed.now) < _YOUNG.total_seconds()
