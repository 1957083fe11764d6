"""What libvirt says about the domain, in the words that the plan needs. Made by guest.py, read by machine/plan.py."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class DomainPhase(enum.Enum):
    """libvirt's domain states, as far as they make a difference."""

    ABSENT = "absent"
    """Not defined."""
    SHUTOFF = "shutoff"
    """Defined, without a QEMU process."""
    STANDING = "standing"
    """A QEMU process whose CPUs nobody has started, or that somebody has paused."""
    STALLED = "stalled"
    """A QEMU process that stopped its CPUs by itself."""
    RUNNING = "running"
    PANICKED = "panicked"
    """The guest's kernel panicked; QEMU is kept."""


class ShutoffReason(enum.Enum):
    """Why there is no QEMU process."""

    UNKNOWN = "unknown"
    """Never started since libvirtd was: says nothing about the time before."""
    SHUTDOWN = "shutdown"
    DESTROYED = "destroyed"
    CRASHED = "crashed"
    FAILED = "failed"


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
    """One look at the domain."""

    phase: DomainPhase
    reason: ShutoffReason = ShutoffReason.UNKNOWN
    stall: StallReason = StallReason.OTHER
    disk_errors: tuple[DiskError, ...] = ()
