"""The frozen observation of one side of a migration. Pure; built by reconcile.py, used by the plans."""

from __future__ import annotations

from dataclasses import dataclass

from virt_core.vmi.migration_state import MigrationState

from virt_handler.machines.observe import Observed
from virt_handler.migration.report import MigrationReport, Progress


@dataclass(frozen=True, slots=True)
class ObservedSide:
    """The complete input of a side's plan."""

    machine: Observed
    """The VirtualMachineInstance, and what the launcher of this pod reports."""

    state: MigrationState
    """What controller and handlers have written."""

    report: MigrationReport | None = None
    """What the source's launcher reports of the migration. None: unknown, never a reason to act."""

    forwards_to: str | None = None
    """To which pod's address the source's pod passes on what arrives; empty: to none. None: unknown."""

    seconds_left: float = 0.0
    """For how long this handler has known by the object that the guest has left for the target's pod."""

    @property
    def phase(self) -> Progress:
        """What the source's launcher reports."""
        return self.report.progress if self.report is not None else Progress.UNKNOWN

    @property
    def target_is_gone(self) -> bool:
        """Whether the controller has proof that the target's pod has ended."""
        return self.state.target_pod_uid not in self.machine.vmi.status.active_pods
