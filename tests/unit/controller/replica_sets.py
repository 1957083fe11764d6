"""Replica sets, their VirtualMachineInstances, and what the controller plans for them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from virt_controller.failure import Failure
from virt_controller.replica_set.actions import Action, CreateInstances, DeleteInstances, PatchStatus
from virt_controller.replica_set.instance import names
from virt_controller.replica_set.observe import Observed
from virt_controller.replica_set.plan import missing, plan
from virt_core.objects.meta import rfc3339
from virt_core.replica_set.replica_set import VirtualMachineInstanceReplicaSet
from virt_core.vmi.instance import VirtualMachineInstance

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LABELS = {"app": "web"}
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": LABELS, "annotations": {"team": "a"}},
    "spec": {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}},
}
OWNER = {"kind": "VirtualMachineInstanceReplicaSet", "name": "web", "uid": "set-uid", "controller": True}


def replica_set(
    status: dict[str, Any] | None = None, meta: dict[str, Any] | None = None, **spec: Any
) -> VirtualMachineInstanceReplicaSet:
    body = {
        "metadata": {"name": "web", "namespace": "ns", "uid": "set-uid", "resourceVersion": "1", **(meta or {})},
        "spec": {"selector": {"matchLabels": LABELS}, "template": TEMPLATE, **spec},
        "status": status or {},
    }
    return msgspec.json.decode(json.dumps(body), type=VirtualMachineInstanceReplicaSet)


def vmi(
    name: str, phase: str = "Running", *, ready: bool = True, ran: float = 3600, ended: float = 1, **meta: Any
) -> VirtualMachineInstance:
    """One of the set, `ended` seconds ago if its phase is final, after it ran for `ran` seconds; 0: never."""
    end = NOW - timedelta(seconds=ended)
    moments = [{"phase": phase, "phaseTransitionTimestamp": rfc3339(end)}]
    if ran:
        began = rfc3339(end - timedelta(seconds=ran))
        moments.append({"phase": "Running", "phaseTransitionTimestamp": began})
    metadata = {"name": name, "namespace": "ns", "uid": f"{name}-uid", "labels": LABELS, "ownerReferences": [OWNER]}
    body = {
        "metadata": {**metadata, "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "1", **meta},
        "status": {
            "phase": phase,
            "nodeName": "node1",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "phaseTransitionTimestamps": moments,
        },
    }
    return msgspec.json.decode(json.dumps(body), type=VirtualMachineInstance)


def with_status(found: VirtualMachineInstance, **status: Any) -> VirtualMachineInstance:
    return found.with_status({**found.raw_status, **status})


def observed(
    subject: VirtualMachineInstanceReplicaSet,
    owned: Iterable[VirtualMachineInstance] = (),
    orphans: Iterable[VirtualMachineInstance] = (),
    failure: Failure | None = None,
) -> Observed:
    """As the reconciler observes it."""
    found = Observed(subject, subject.spec, tuple(owned), tuple(orphans), NOW, failure=failure)
    taken = {known.metadata.name for known in (*found.owned, *found.orphans)}
    free = (name for name in names(subject, subject.spec) if name not in taken)
    picked = tuple(name for name, _ in zip(free, range(missing(found)), strict=False))
    return replace(found, names=picked)


def created(actions: Iterable[Action]) -> list[dict[str, Any]]:
    """Manifests of what a plan creates."""
    return [manifest for action in actions if isinstance(action, CreateInstances) for manifest in action.manifests]


def deleted(actions: Iterable[Action]) -> list[str]:
    """Names of what a plan deletes."""
    return [found.name for action in actions if isinstance(action, DeleteInstances) for found in action.instances]


def written(actions: Iterable[Action]) -> dict[str, Any]:
    """The status that a plan writes, as far as it changes; empty: none."""
    found: dict[str, Any] = {}
    for action in actions:
        if isinstance(action, PatchStatus):
            for operation in action.operations:
                if operation["op"] in ("add", "replace"):
                    key = operation["path"].removeprefix("/status").lstrip("/")
                    found |= {key: operation["value"]} if key else operation["value"]
    return found


def settled(subject: VirtualMachineInstanceReplicaSet, *owned: VirtualMachineInstance) -> dict[str, Any]:
    """The status of a set that is at rest with these."""
    return written(plan(observed(subject, owned)))
