"""The closed set of the launcher's actions on its machine. Pure; planned by plan.py, executed by execute.py."""

from __future__ import annotations

from dataclasses import dataclass

from kubevirt.launcher.v1 import state_pb2


@dataclass(frozen=True, slots=True)
class CreateStanding:
    """Prepare the disks, define the persistent domain and start QEMU with stopped CPUs. Only while there is no QEMU and
    the guest never ran: leftovers of an earlier attempt are replaced."""


@dataclass(frozen=True, slots=True)
class RecordRunning:
    """Record that the guest is about to run. Only while its CPUs are stopped."""


@dataclass(frozen=True, slots=True)
class RecordArrived:
    """Record that the guest has arrived by a migration, and whether its CPUs are to be paused. Only when the source has
    handed it over, or has ended."""

    paused: bool


@dataclass(frozen=True, slots=True)
class StartCpus:
    """Start the CPUs. Only after RecordRunning or RecordArrived and unless a pause is wanted; also, on command, after
    QEMU stopped the guest."""


@dataclass(frozen=True, slots=True)
class RecordWanted:
    """Record whether the guest's CPUs are to be paused. On command, after the guest was started."""

    paused: bool


@dataclass(frozen=True, slots=True)
class StopCpus:
    """Stop the guest's CPUs. Only while they run and RecordWanted has recorded the pause."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the guest. On command, while there is a guest."""


@dataclass(frozen=True, slots=True)
class PressRebootButton:
    """Request a reboot from the guest by ACPI. On command, while its CPUs run."""


@dataclass(frozen=True, slots=True)
class PressPowerButton:
    """Request a shutdown from the guest by ACPI. While it runs and a stop was requested."""


@dataclass(frozen=True, slots=True)
class Destroy:
    """End QEMU. Only after the grace period of a requested stop, or when the end is recorded."""


@dataclass(frozen=True, slots=True)
class RecordEnd:
    """Record how the machine ended. Only once: it never runs again."""

    end: state_pb2.MachineEnd.ValueType
    message: str


Action = (
    CreateStanding
    | RecordRunning
    | RecordArrived
    | StartCpus
    | RecordWanted
    | StopCpus
    | Reset
    | PressRebootButton
    | PressPowerButton
    | Destroy
    | RecordEnd
)
