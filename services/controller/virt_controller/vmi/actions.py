"""The closed set of what the controller does to the world for one VirtualMachineInstance. Executed by execute.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Create the launcher pod. Legal while activePods is empty. If the pod is there already, the rest of the plan is
    left to the next pass, which sees it."""

    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete the pod of this UID; the launcher shuts its guest down within the pod's grace period."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class GonePod:
    """A pod that must not exist."""

    name: str
    uids: frozenset[str]
    """Its possible UIDs; a pod of that name with another UID is somebody else's. Empty: any that belongs to the VMI."""


@dataclass(frozen=True, slots=True)
class PatchVmi:
    """Apply a guarded JSON patch to the VirtualMachineInstance. `only_if_pod_is_gone` and `only_if_node_is_gone` name
    what must be found absent by asking the API server, because a cache cannot know that."""

    operations: tuple[dict[str, Any], ...]
    only_if_pod_is_gone: GonePod | None = None
    only_if_node_is_gone: str | None = None


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """Tell whoever runs ``kubectl describe``."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Plan again after `seconds`."""

    seconds: float = field(default=1.0)


Action = CreatePod | DeletePod | PatchVmi | RecordEvent | LookAgain
