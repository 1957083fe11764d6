"""What the controller sees of one VirtualMachine, frozen. Pure; built by reconcile.py from the caches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from virt_core.conventions import labels
from virt_core.vm.virtual_machine import RunStrategy, VirtualMachine, VirtualMachineSpec, VirtualMachineStatus
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.failure import Failure


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that a plan rests on."""

    vm: VirtualMachine
    spec: VirtualMachineSpec
    status: VirtualMachineStatus
    vmi: VirtualMachineInstance | None
    """The VirtualMachineInstance of the VirtualMachine's name, whoever owns it."""

    now: datetime
    jitter: float
    """A random number from 0 to 1 that spreads retries."""

    started_with: VirtualMachineSpec | None = None
    """What `vmi` was started with, from its ControllerRevision. None: not looked at, because nothing has changed since,
    or the revision is gone."""

    failure: Failure | None = None
    """The last refusal, if nothing has changed since."""

    @property
    def own(self) -> VirtualMachineInstance | None:
        """The VirtualMachineInstance, if this VirtualMachine controls it."""
        return self.vmi if self.vmi is not None and is_controlled(self.vmi, self.vm) else None

    @property
    def strategy(self) -> RunStrategy:
        """The run strategy in force."""
        return self.spec.strategy


def is_controlled(vmi: VirtualMachineInstance, vm: VirtualMachine) -> bool:
    """Whether the VirtualMachine is the controller of the VirtualMachineInstance."""
    return vmi.metadata.controller_uid == vm.metadata.uid


def is_orphan(vmi: VirtualMachineInstance) -> bool:
    """Whether nobody controls the VirtualMachineInstance, so that it can be adopted."""
    return not vmi.metadata.controller_uid


def has_ended(vmi: VirtualMachineInstance) -> bool:
    """Whether nothing happens to the guest any more: its phase is final, or it is deleted and never had a node."""
    deleted = vmi.metadata.deletion_timestamp is not None and labels.VMI_FINALIZER not in vmi.metadata.finalizers
    return vmi.status.phase.final or deleted


def ever_ran(vmi: VirtualMachineInstance) -> bool:
    """Whether the guest ran at some time."""
    return any(moment.get("phase") == "Running" for moment in vmi.status.phase_transition_timestamps)
