"""The closed set of the workload updater's actions. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.actions import LookAgain


@dataclass(frozen=True, slots=True)
class CreateMigration:
    """Create a VirtualMachineInstanceMigration for an outdated launcher, with an event."""

    vmi: VirtualMachineInstance
    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Evict:
    """Request the eviction of a guest's pod, with an event. A guest that is marked for evacuation by it is on its
    way."""

    vmi: VirtualMachineInstance
    pod: str


@dataclass(frozen=True, slots=True)
class PatchVmi:
    """Apply a guarded JSON patch to a VirtualMachineInstance: its label, its condition."""

    vmi: VirtualMachineInstance
    operations: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class DeleteMigration:
    """Delete a migration that is not needed any more, with an event."""

    vmi: VirtualMachineInstance
    name: str
    uid: str


Write = CreateMigration | Evict | PatchVmi | DeleteMigration
Action = Write | LookAgain
