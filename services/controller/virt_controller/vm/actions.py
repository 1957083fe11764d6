"""The closed set of what the controller does to the world for one VirtualMachine. Pure;
executed by execute.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from virt_controller.actions import LookAgain, RecordEvent


@dataclass(frozen=True, slots=True)
class CreateInstance:
    """Create the VirtualMachineInstance. Legal while the VirtualMachine controls none. `revision` is the
    ControllerRevision that keeps what it is started with; it is created first."""

    manifest: dict[str, Any]
    revision: dict[str, Any]
    reused: bool = False
    """Whether an earlier start created it: then it is there, if this controller has seen it."""

    confirmed: bool = False
    """Whether a patch right before it tests that the VirtualMachine is as the plan saw it. Otherwise it is read."""


@dataclass(frozen=True, slots=True)
class DeleteInstance:
    """Delete the VirtualMachineInstance of this UID; its guest shuts down within its grace period."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class PatchInstance:
    """Apply a guarded JSON patch to the VirtualMachineInstance: its finalizer, its owner, live updates."""

    name: str
    operations: tuple[dict[str, Any], ...]
    only_if_vm_stays: bool = False
    """Only if the API server itself has the VirtualMachine, not deleted: a cache cannot know that."""


@dataclass(frozen=True, slots=True)
class PatchVm:
    """Apply a guarded JSON patch to the VirtualMachine's metadata or spec."""

    operations: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class PatchStatus:
    """Apply a guarded JSON patch to the VirtualMachine's status."""

    operations: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class KeepObject:
    """Create the ControllerRevision that keeps an instance type or a preference. Legal unless one of that name keeps
    another object."""

    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteRevision:
    """Delete a ControllerRevision that nothing refers to: no VirtualMachineInstance was started with it, the object
    that it keeps has become part of the template, or another one has replaced it."""

    name: str
    unless_named: bool = False
    """Not if the API server itself has the name in status.startRevision: a cache that is behind cannot know that."""


Write = CreateInstance | DeleteInstance | PatchInstance | PatchVm | PatchStatus | KeepObject | DeleteRevision
Action = Write | RecordEvent | LookAgain
