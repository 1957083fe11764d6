"""The status of a VirtualMachineInstanceReplicaSet. Pure; called by plan.py.

It starts from the stored status, so that fields of other releases stay as they are.
"""

from __future__ import annotations

from typing import Any

import msgspec
from virt_core.objects.meta import Condition, condition_of, with_conditions

from virt_controller.replica_set.observe import Observed, is_ready

PAUSED, FAILURE = "ReplicaPaused", "ReplicaFailure"
_OWN = (PAUSED, FAILURE)


def next_status(observed: Observed, trouble: Condition | None) -> dict[str, Any]:
    """The whole status as it is to be stored. `trouble` is the condition ReplicaFailure, if there is a reason for it.

    Numbers are written although they are 0: `kubectl get` shows them. The selector is what a client of the scale
    subresource selects pods by, the HorizontalPodAutoscaler for example.
    """
    active = observed.active
    after: dict[str, Any] = {
        **observed.replica_set.raw_status,
        "replicas": len(active),
        "readyReplicas": sum(map(is_ready, active)),
        "labelSelector": str(observed.spec.selector),
        "conditions": msgspec.to_builtins(_conditions(observed, trouble)),
    }
    if not after["conditions"]:
        del after["conditions"]
    return after


def stored_condition(observed: Observed, kind: str) -> Condition | None:
    """A condition as it is stored."""
    return condition_of(observed.replica_set.status.conditions, kind)


def _conditions(observed: Observed, trouble: Condition | None) -> list[Condition]:
    own = [Condition(PAUSED, "True", "Paused", "Controller got paused")] if observed.spec.paused else []
    own += [trouble] if trouble is not None else []
    wanted = {condition.type for condition in own}
    stored = observed.replica_set.status.conditions
    kept = [condition for condition in stored if condition.type not in _OWN or condition.type in wanted]
    return sorted(with_conditions(kept, own, observed.now), key=lambda condition: condition.type)
