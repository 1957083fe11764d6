"""The closed set of the controller's actions for a VirtualMachineInstance. Pure; executed by execute.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from virt_controller.actions import LookAgain, RecordEvent


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Create the launcher pod. Only while activePods is empty. If the pod exists already, the rest of the plan is
    skipped, and the next pass continues with that pod."""

    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete the pod of this UID; the launcher shuts its guest down within the pod's grace period."""

    name: str
    uid: str
    grace: int | None = None
    """Seconds, if they are to be fewer than the pod's own; then the kubelet kills it, with its guest."""

    without_guest: bool = False
    """The guest is in another pod, by status.migrationState. The API server must confirm that this is as it was seen: a
    cache may be behind a guest that has arrived after all."""


@dataclass(frozen=True, slots=True)
class GonePod:
    """Pods that must not exist."""

    names: tuple[str, ...]
    uids: frozenset[str]
    """Their possible UIDs. A pod of such a name with another UID does not count. Empty: any pod that belongs to the
    VMI."""


@dataclass(frozen=True, slots=True)
class PatchVmi:
    """Apply a guarded JSON patch to the VirtualMachineInstance. Before the patch, the API server must confirm that
    `only_if_pod_is_gone` and `only_if_node_is_gone` do not exist: a cache may be behind."""

    operations: tuple[dict[str, Any], ...]
    only_if_pod_is_gone: GonePod | None = None
    only_if_node_is_gone: str | None = None


@dataclass(frozen=True, slots=True)
class PatchPod:
    """Apply a guarded JSON patch to a launcher pod: its annotations, or conditions of its status."""

    name: str
    operations: tuple[dict[str, Any], ...]
    subresource: str | None = None


Write = CreatePod | DeletePod | PatchVmi | PatchPod
Action = Write | RecordEvent | LookAgain
