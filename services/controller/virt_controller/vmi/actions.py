"""The closed set of what the controller does to the world for one VirtualMachineInstance. Executed by execute.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Create the launcher pod. Legal when no pod of its name exists; one that does is adopted by the next pass."""

    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete that very pod; the launcher shuts its guest down within the pod's grace period."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class PatchVmi:
    """Apply a guarded JSON patch to the VirtualMachineInstance. `only_if_pod_is_gone` and `only_if_node_is_gone` name
    what must be found absent by asking the API server, because a cache cannot know that."""

    operations: tuple[dict[str, Any], ...]
    only_if_pod_is_gone: str | None = None
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
