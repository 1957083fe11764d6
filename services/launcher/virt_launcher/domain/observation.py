"""The observation of the libvirt domain, as machine/plan.py needs it. Created by guest.py."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class DomainPhase(enum.Enum):
    """The domain states of libvirt that matter for the plan."""

    ABSENT = "absent"
    """Not defined."""
    SHUTOFF = "shutoff"
    """Defined, without a QEMU process."""
    STANDING = "standing"
    """A QEMU process whose CPUs were never started, or were paused."""
    MIGRATING = "migrating"
    """A QEMU process whose CPUs libvirt has stopped for a migration: at the source at its end, at the target until the
    guest has arrived completely."""
    STALLED = "stalled"
    """A QEMU process that stopped its CPUs by itself."""
    RUNNING = "running"
    PANICKED = "panicked"
    """The guest's kernel panicked; QEMU still exists."""


class ShutoffReason(enum.Enum):
    """Why there is no QEMU process."""

    UNKNOWN = "unknown"
    """Not started since libvirtd started; says nothing about the time before."""
    SHUTDOWN = "shutdown"
    DESTROYED = "destroyed"
    CRASHED = "crashed"
    FAILED = "failed"
    MIGRATED = "migrated"
    """The guest has arrived at another hypervisor."""


class StallReason(enum.Enum):
    """Why QEMU stopped the CPUs by itself."""

    OTHER = "other"
    IO_ERROR = "I/O error"
    """A disk could not be read or written."""


@dataclass(frozen=True, slots=True)
class DiskError:
    """A disk that QEMU could not read or write, by its target."""

    target: str
    no_space: bool
    """What it is stored on is full."""


@dataclass(frozen=True, slots=True)
class Observation:
    """An observation of the domain."""

    phase: DomainPhase
    reason: ShutoffReason = ShutoffReason.UNKNOWN
    stall: StallReason = StallReason.OTHER
    disk_errors: tuple[DiskError, ...] = ()
    committed_by: str = ""
    """The UID of the migration whose source has handed over this domain; observed at the target only, while its CPUs do
    not run."""

    ending: bool = False
    """Whether its QEMU is about to end, because the guest powers off or libvirtd ends a start that was interrupted."""
