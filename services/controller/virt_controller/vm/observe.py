"""What the controller sees of one VirtualMachine, frozen. Pure; built by reconcile.py from the caches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from virt_core.conventions import labels
from virt_core.objects.kubevirt import Configuration
from virt_core.vm.virtual_machine import RunStrategy, VirtualMachine, VirtualMachineSpec, VirtualMachineStatus
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.failure import Failure

_DEFAULTS = Configuration()


@dataclass(frozen=True, slots=True)
class Changes:
    """Differences between a VirtualMachine's template and the one that its guest was started with."""

    fields: tuple[str, ...]
    """Paths below spec.template.spec."""

    metadata: bool
    """Whether the template's metadata differs, except what is synced at any time."""


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

    configuration: Configuration = _DEFAULTS
    """The cluster's; KubeVirt's defaults while it is unknown."""

    changes: Changes | None = None
    """How the template differs from what `vmi` was started with. None: not looked at, because nothing has changed
    since, or the ControllerRevision that would say so is gone."""

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
