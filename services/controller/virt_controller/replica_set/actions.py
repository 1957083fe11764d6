"""The closed set of the controller's actions for a VirtualMachineInstanceReplicaSet. Pure; executed by execute.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from virt_controller.actions import LookAgain, RecordEvent


@dataclass(frozen=True, slots=True)
class CreateInstances:
    """Create VirtualMachineInstances in parallel, with an event for each. A refusal stops the rest."""

    manifests: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Instance:
    """A VirtualMachineInstance to delete."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class DeleteInstances:
    """Delete VirtualMachineInstances in parallel, with an event for each; their guests shut down within their grace
    periods."""

    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class PatchInstance:
    """Apply a guarded JSON patch to a VirtualMachineInstance: its owner."""

    name: str
    operations: tuple[dict[str, Any], ...]
    only_if_replica_set_stays: bool = False
    """Only if the API server itself has the replica set, not deleted: a cache cannot know that."""


@dataclass(frozen=True, slots=True)
class PatchStatus:
    """Apply a guarded JSON patch to the replica set's status."""

    operations: tuple[dict[str, Any], ...]


Write = CreateInstances | DeleteInstances | PatchInstance | PatchStatus
Action = Write | RecordEvent | LookAgain
