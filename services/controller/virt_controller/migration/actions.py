"""The closed set of the controller's actions for a VirtualMachineInstanceMigration. Pure; executed by execute.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from virt_controller.actions import LookAgain, RecordEvent


@dataclass(frozen=True, slots=True)
class CreateTarget:
    """Create the target pod. Only while the API server has the migration as it was seen, and the cached
    VirtualMachineInstance not deleted."""

    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteTarget:
    """Delete the target pod of this UID, unless the API server knows of a hand-off to it."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class PatchStatus:
    """Apply a guarded JSON patch to the migration's status."""

    operations: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class PatchMetadata:
    """Apply a guarded JSON patch to the migration's metadata: its finalizer."""

    operations: tuple[dict[str, Any], ...]
    unseen_target: str = ""
    """Name of the target pod, if it may exist although the cache does not have it. It is deleted before the patch."""


@dataclass(frozen=True, slots=True)
class PatchVmi:
    """Apply a guarded JSON patch to the VirtualMachineInstance: the hand-off to the handlers, or a request to abort."""

    operations: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class DeleteMigration:
    """Delete another migration: an old one of the same VirtualMachineInstance; or this one, whose guest is gone."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class RecordVmiEvent:
    """Record an event about the VirtualMachineInstance."""

    event: RecordEvent


Write = CreateTarget | DeleteTarget | PatchStatus | PatchMetadata | PatchVmi | DeleteMigration | RecordVmiEvent
Action = Write | RecordEvent | LookAgain
