"""Decides about the eviction of a launcher pod. Pure; called by webhook.py with the pod and its VirtualMachineInstance
as they are stored.

The table of KubeVirt's webhook, with its texts: the descheduler looks for "Eviction triggered evacuation".
`kubectl drain` repeats a request that is answered 429 every five seconds, until the source pod has ended.
A pod that certainly has no guest is never protected.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from virt_core.conventions import components, labels, migration
from virt_core.conventions.conditions import EVACUATION_BLOCKED
from virt_core.conventions.launcher_pod import guest_needs
from virt_core.migration.migration import REJECTED_BY_QUOTA, STALLED, WAITING, VirtualMachineInstanceMigration
from virt_core.objects.meta import Condition, ObjectMeta, condition_of
from virt_core.objects.patch import Operation, pointer
from virt_core.vmi.eviction import (
    EXTERNAL,
    LIVE_MIGRATE,
    MOVED_BY_OTHERS,
    eviction_strategy,
    is_migratable,
    live_migratable,
    migrates_on_eviction,
)
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase

_MARK = "evacuationNodeName"
_ENDED = ("Succeeded", "Failed")
_BEFORE_RUNNING = (VmiPhase.UNSET, VmiPhase.PENDING, VmiPhase.SCHEDULING, VmiPhase.SCHEDULED)
_WAITS = (WAITING, REJECTED_BY_QUOTA, STALLED)
_REQUESTED_BY, _DESCHEDULER = "requested-by", "sigs.k8s.io/descheduler"
"""Annotation of the Evictions that the descheduler creates."""


class DeleteOptions(msgspec.Struct, frozen=True, rename="camel"):
    """How the pod is to be deleted."""

    dry_run: list[str] | None = None


class Eviction(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of policy/v1 Eviction that matter."""

    metadata: ObjectMeta | None = None
    delete_options: DeleteOptions | None = None

    @property
    def dry_run(self) -> bool:
        """Whether the body requests a dry run. kube-apiserver does not say it in the review in that case."""
        return self.delete_options is not None and bool(self.delete_options.dry_run)

    @property
    def by_descheduler(self) -> bool:
        """Whether the descheduler requests the eviction."""
        return self.metadata is not None and self.metadata.annotations.get(_REQUESTED_BY) == _DESCHEDULER


class _ContainerState(msgspec.Struct, frozen=True):
    waiting: dict[str, Any] | None = None


class _Container(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    state: _ContainerState = _ContainerState()
    last_state: dict[str, Any] = {}
    restart_count: int = 0

    @property
    def never_ran(self) -> bool:
        return self.state.waiting is not None and not self.last_state and not self.restart_count


class _PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    node_name: str = ""


class _PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = ""
    container_statuses: list[_Container] = []


class EvictedPod(msgspec.Struct, frozen=True):
    """The pod to evict."""

    metadata: ObjectMeta
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()

    @property
    def vmi_name(self) -> str:
        """The VirtualMachineInstance whose guest an eviction might end; "": no guest."""
        meta = self.metadata
        launcher = meta.labels.get(labels.APP) == components.LAUNCHER
        if not launcher or self.status.phase in _ENDED or meta.deletion_timestamp is not None:
            return ""
        return meta.annotations.get(labels.DOMAIN, "")

    @property
    def is_target(self) -> bool:
        """Whether it was created for a migration: of a migration that has ended it may be the guest's only pod."""
        return migration.JOB_UID in self.metadata.labels

    @property
    def has_not_started(self) -> bool:
        """Whether a container that the guest waits for never ran."""
        needed = [found for found in self.status.container_statuses if guest_needs(found.name)]
        return self.status.phase == "Pending" and (not needed or any(found.never_ran for found in needed))


@dataclass(frozen=True, slots=True)
class Allow:
    """The pod may be evicted."""

    why: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """429 with this message."""

    message: str
    evacuated: str = ""
    """The VirtualMachineInstance that is about to leave: `why_it_waits` says what its migration waits for."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Mark the VirtualMachineInstance for evacuation by a guarded patch, then answer 429 with this message."""

    vmi_name: str
    operations: tuple[Operation, ...]
    message: str


Decision = Allow | Refuse | Mark


def decide(eviction: Eviction, pod: EvictedPod, vmi: VirtualMachineInstance | None) -> Decision:
    """The decision. `vmi` is the object that `pod.vmi_name` names, None if it does not exist."""
    if vmi is None or vmi.metadata.uid != pod.metadata.labels.get(labels.CREATED_BY, vmi.metadata.uid):
        return Allow("its VirtualMachineInstance does not exist")
    if vmi.status.phase.final or vmi.metadata.deletion_timestamp is not None:
        return Allow("its guest has ended or is to end")
    if not pod.is_target and _has_no_guest(pod, vmi):
        return Allow("it has no guest yet")
    return _by_strategy(eviction, pod, vmi)


def _by_strategy(eviction: Eviction, pod: EvictedPod, vmi: VirtualMachineInstance) -> Decision:
    strategy, moves = eviction_strategy(vmi), is_migratable(vmi)
    if strategy == LIVE_MIGRATE and not moves:
        return Refuse(_cannot_move(vmi, live_migratable(vmi)))
    if strategy == EXTERNAL or (moves and migrates_on_eviction(vmi)):
        return _marked(eviction, pod, vmi)
    return Allow(f"evictionStrategy is {strategy or 'not set'}, LiveMigratable {moves}")


def _has_no_guest(pod: EvictedPod, vmi: VirtualMachineInstance) -> bool:
    """Handlers start guests only in pods that are active. The kubelet reports a container later than the handler its
    guest."""
    if pod.metadata.uid not in vmi.status.active_pods:
        return True
    return pod.has_not_started and vmi.status.phase in _BEFORE_RUNNING


def _marked(eviction: Eviction, pod: EvictedPod, vmi: VirtualMachineInstance) -> Decision:
    triggered = f'Eviction triggered evacuation of VMI "{vmi.metadata.namespace}/{vmi.metadata.name}"'
    by_others = f": {MOVED_BY_OTHERS}" if eviction_strategy(vmi) == EXTERNAL else ""
    if vmi.status.evacuation_node_name:
        blocked = condition_of(vmi.status.conditions, EVACUATION_BLOCKED)
        why = f": {blocked.message}" if blocked is not None and blocked.status == "True" else ""
        return Refuse(f"Evacuation in progress: {triggered}{by_others}{why}", evacuated=vmi.metadata.name)
    node, state = vmi.status.node_name, vmi.status.migration_state
    arriving = state is not None and state.active and state.target_pod_uid == pod.metadata.uid
    if arriving or not node or pod.spec.node_name != node:
        return Refuse("Eviction request for target Pod")
    return Mark(vmi.metadata.name, tuple(_mark(eviction, vmi)), triggered + by_others)


def why_it_waits(vmi_name: str, migrations: Iterable[VirtualMachineInstanceMigration]) -> str:
    """What the migration by which the guest is to leave waits for; "": it waits for nothing, or there is none."""
    for job in migrations:
        if job.spec.vmi_name != vmi_name or job.status.phase.final:
            continue
        waits = (condition for condition in job.status.conditions if condition.type in _WAITS)
        found = next((condition for condition in waits if condition.status == "True"), None)
        if found is not None:
            return f"migration {job.metadata.name} waits: {found.message or found.reason}"
    return ""


def _mark(eviction: Eviction, vmi: VirtualMachineInstance) -> list[Operation]:
    """A field that is absent passes the test for null."""
    path, node = pointer("status", _MARK), vmi.status.node_name
    operations: list[Operation] = [
        {"op": "test", "path": "/metadata/uid", "value": vmi.metadata.uid},
        {"op": "test", "path": "/status/nodeName", "value": node},
        {"op": "test", "path": path, "value": vmi.raw_status.get(_MARK)},
        {"op": "add", "path": path, "value": node},
    ]
    if not eviction.by_descheduler:
        return operations
    if not vmi.metadata.annotations:
        operations += [
            {"op": "test", "path": "/metadata/annotations", "value": None},
            {"op": "add", "path": "/metadata/annotations", "value": {}},
        ]
    source = pointer("metadata", "annotations", migration.EVICTION_SOURCE)
    return [*operations, {"op": "add", "path": source, "value": migration.DESCHEDULER}]


def _cannot_move(vmi: VirtualMachineInstance, migratable: Condition | None) -> str:
    """KubeVirt's text, and why."""
    text = f"VMI {vmi.metadata.name} is configured with an eviction strategy but is not live-migratable"
    if migratable is None:
        return f"{text}: its guest is not running yet"
    why = ": ".join(part for part in (migratable.reason, migratable.message) if part)
    return f"{text}: {why}" if why else text
