"""Everything that the launcher can do to its machine. Pure; decided by plan.py, done by execute.py."""

from __future__ import annotations

from dataclasses import dataclass

from kubevirt.launcher.v1 import state_pb2


@dataclass(frozen=True, slots=True)
class CreateStanding:
    """Prepare the disks, make the domain known to libvirt, persistently, and start QEMU with the CPUs standing still.
    Legal while there is no QEMU and nothing ran: whatever an earlier attempt left is made anew."""


@dataclass(frozen=True, slots=True)
class RecordRunning:
    """Write down that the guest is about to run. Legal while its CPUs stand still."""


@dataclass(frozen=True, slots=True)
class StartCpus:
    """Let the guest run. Legal once RecordRunning is done and unless it shall stand still; also where it stalled, on
    command."""


@dataclass(frozen=True, slots=True)
class RecordWanted:
    """Write down whether the guest's CPUs shall stand still. Legal on command, once the guest was started."""

    paused: bool


@dataclass(frozen=True, slots=True)
class StopCpus:
    """Have the guest's CPUs stand still. Legal while they run and RecordWanted says so."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Press the reset button. Legal on command, while there is a guest."""


@dataclass(frozen=True, slots=True)
class PressRebootButton:
    """Ask the guest by ACPI to reboot. Legal on command, while its CPUs run."""


@dataclass(frozen=True, slots=True)
class PressPowerButton:
    """Ask the guest to shut down. Legal while it runs and a stop was asked for."""


@dataclass(frozen=True, slots=True)
class Destroy:
    """End QEMU. Legal when a stop was asked for and its time is over, or when the end is recorded."""


@dataclass(frozen=True, slots=True)
class RecordEnd:
    """Write down how the machine ended. Legal once: it never runs again."""

    end: state_pb2.MachineEnd.ValueType
    message: str


Action = (
    CreateStanding
    | RecordRunning
    | StartCpus
    | RecordWanted
    | StopCpus
    | Reset
    | PressRebootButton
    | PressPowerButton
    | Destroy
    | RecordEnd
)
