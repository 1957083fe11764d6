"""The closed set of the evacuation controller's actions. Pure; executed by execute.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from virt_controller.actions import LookAgain, RecordEvent


@dataclass(frozen=True, slots=True)
class CreateMigration:
    """Create a VirtualMachineInstanceMigration, if the guest is still to leave its node; with an event."""

    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PatchVmi:
    """Apply a guarded JSON patch to the VirtualMachineInstance: its conditions, its mark."""

    operations: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class PatchPod:
    """Apply a guarded JSON patch to a launcher pod: what the descheduler reads."""

    name: str
    operations: tuple[dict[str, Any], ...]


Write = CreateMigration | PatchVmi | PatchPod
Action = Write | RecordEvent | LookAgain
