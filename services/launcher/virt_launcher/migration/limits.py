"""Decides when a copy takes too long, as KubeVirt does, and for how long its end may stop the guest. Pure; called by
source.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kubevirt.launcher.v1 import machine_pb2, migration_pb2

# Milliseconds. The second is QEMU's default. With 0, QEMU stops the guest when it has copied the memory once.
_SHORT, _LONG, _ONE_PASS = 50, 300, 0
_SHORT_PASSES = 3
_SEES_EACH_WRITE = (9, 0)  # QEMU


@dataclass(frozen=True, slots=True)
class Suspend:
    """Stop the guest's CPUs until it is copied."""


@dataclass(frozen=True, slots=True)
class Abort:
    """End the copy."""

    reason: str


@dataclass(frozen=True, slots=True)
class Course:
    """What a copy has shown so far. Times are seconds of one clock."""

    began: float
    least_remaining: int | None = None
    fell_at: float = 0.0
    """When the remaining bytes fell below all earlier ones."""

    memory: bool = False
    """Whether memory is being copied: libvirt copies the disks first, and counts no memory until then."""

    suspended: bool = False

    def after(self, remaining: int, now: float, *, memory: bool = True) -> Course:
        """The course after another observation. As in KubeVirt, 0 says nothing: libvirt reports it before it knows how
        much there is to copy."""
        goes_on = self.memory or not memory
        if goes_on and self.least_remaining and remaining >= self.least_remaining:
            return self
        return replace(self, least_remaining=remaining, fell_at=now, memory=self.memory or memory)


def verdict(course: Course, options: migration_pb2.MigrationOptions, now: float) -> Suspend | Abort | None:
    """What is to be done; None: the copy goes on."""
    progress = options.progress_timeout.ToNanoseconds() / 1e9
    if progress and course.least_remaining is not None and now - course.fell_at > progress:
        return Abort(f"Live migration stuck for {now - course.fell_at:.0f} seconds and has been aborted")
    acceptable = options.completion_timeout.ToNanoseconds() / 1e9
    if not acceptable:
        return None
    elapsed = now - course.began
    may_suspend = options.allow_workload_disruption or options.post_copy
    if elapsed <= (2 * acceptable if course.suspended else acceptable):
        return None
    if may_suspend and not course.suspended:
        return Suspend()
    return Abort(f"Live migration is not completed after {elapsed:.0f} seconds and has been aborted")


def misses_writes(accelerator: machine_pb2.Accelerator.ValueType, qemu: str) -> bool:
    """Whether QEMU of this version, for example "7.2.22", may not see a guest's write between two passes over its
    memory, and the target then lacks it. An unknown version may.

    Only with software emulation: when QEMU reads which pages were written since the last pass, it has to have the CPUs
    report the next write to them again. Before 9.0 it forgot that for whole memory blocks ("physmem: Fix MIGRATION
    dirty bitmap coherency with TCG memory access"), until the guest switched to another process.
    """
    version = tuple(int(part) for part in qemu.split(".") if part.isdecimal())
    return accelerator == machine_pb2.ACCELERATOR_EMULATION and version < _SEES_EACH_WRITE


def downtime_limit(passes: int, *, one_pass: bool = False) -> int:
    """For how many milliseconds QEMU may stop the guest to copy the rest, after so many passes over its memory.

    QEMU stops it as soon as it expects to copy the rest in that time, also in the first pass. So with a low limit a
    guest that writes little is stopped for a moment. One that writes more would never be copied: it gets the default.

    Args:
        one_pass: what is written after the first pass would be missed. The guest is stopped when that ends, however
            much it has written meanwhile.
    """
    if one_pass:
        return _ONE_PASS
    return _SHORT if passes <= _SHORT_PASSES else _LONG
