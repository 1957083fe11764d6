"""The frozen observation of one side of a migration. Pure; built by reconcile.py, used by source.py and target.py."""

from __future__ import annotations

from dataclasses import dataclass

from virt_core.vmi.migration_state import MigrationState

from virt_handler.machines.observe import Observed
from virt_handler.migration.report import MigrationReport


@dataclass(frozen=True, slots=True)
class ObservedSide:
    """The complete input of a side's plan."""

    machine: Observed
    """The VirtualMachineInstance, and what the launcher of this pod reports."""

    state: MigrationState
    """What controller and handlers have written."""

    report: MigrationReport | None = None
    """What the source's launcher reports of the migration. None: unknown, never a reason to act."""
