"""Plans the next action for the machine from its record, an observation of its domain, and a requested stop. Pure.

Called by keeper.py until there is no further action. It does not depend on earlier passes: after any crash, record and
domain together define the state. Knows no libvirt, no gRPC and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from kubevirt.launcher.v1 import state_pb2

from virt_launcher.domain.observation import DomainPhase, Observation, ShutoffReason, StallReason
from virt_launcher.machine.actions import (
    Action,
    CreateStanding,
    Destroy,
    PressPowerButton,
    RecordArrived,
    RecordEnd,
    RecordRunning,
    StartCpus,
    StopCpus,
)
from virt_launcher.machine.record import Record

_ENDS = {
    ShutoffReason.SHUTDOWN: (state_pb2.MACHINE_END_SHUTDOWN, "the guest powered itself off"),
    ShutoffReason.DESTROYED: (state_pb2.MACHINE_END_DESTROYED, "destroyed on request"),
    ShutoffReason.CRASHED: (state_pb2.MACHINE_END_CRASHED, "the hypervisor process died"),
    ShutoffReason.FAILED: (state_pb2.MACHINE_END_CRASHED, "the hypervisor process failed"),
    ShutoffReason.MIGRATED: (state_pb2.MACHINE_END_MIGRATED, "the guest was migrated"),
    # Only if the guest ended while no launcher ran, and libvirtd was restarted after that.
    ShutoffReason.UNKNOWN: (state_pb2.MACHINE_END_CRASHED, "the guest is gone and nobody saw how it ended"),
}
_ACTIVE = frozenset(
    {
        DomainPhase.STANDING,
        DomainPhase.MIGRATING,
        DomainPhase.STALLED,
        DomainPhase.RUNNING,
        DomainPhase.PANICKED,
    }
)


@dataclass(frozen=True, slots=True)
class Stop:
    """Somebody wants the machine to end. Times are seconds of one clock."""

    deadline: float
    """When the guest's time to shut down by itself is over."""

    interval: float
    """After which it is pressed again."""

    pressed: float | None = None
    """When the power button was pressed last."""

    destroyed: bool = False
    """Whether this process has requested the end of QEMU from libvirt."""

    before_arrival: bool = False
    """Whether it ends a guest only that has not arrived by its migration yet."""

    def next_press(self) -> float:
        """When to press the power button next."""
        return float("-inf") if self.pressed is None else self.pressed + self.interval


def plan(record: Record, seen: Observation, stop: Stop | None, now: float) -> Action | None:
    """The next action; None if nothing is to be done until something changes."""
    if record.machine is None:
        return None
    if record.ended is not None:
        return Destroy() if seen.phase in _ACTIVE else None
    if record.awaited:
        return _toward_arrival(record, seen, stop)
    if stop is not None and stop.before_arrival:
        stop = None
    if record.switched or record.copying:
        return _after_switch(record, seen) if record.switched else _while_copying(seen, stop, now)
    if record.running is None:
        return _toward_running(seen) if stop is None else _never_start(seen)
    return _after_start(seen, stop) or (_toward_end(seen, stop, now) if stop is not None else _as_wanted(record, seen))


def _toward_running(seen: Observation) -> Action | None:
    if seen.ending:
        return None  # it has never run: a libvirtd died while it started QEMU, and its successor ends that QEMU
    return RecordRunning() if seen.phase in _ACTIVE else CreateStanding()


def _after_switch(record: Record, seen: Observation) -> Action | None:
    """What is left of the guest here is stopped for good, and libvirt may have left it."""
    if seen.phase in _ACTIVE:
        return Destroy()
    return RecordEnd(*_ENDS[ShutoffReason.MIGRATED]) if record.committed else None


def _toward_arrival(record: Record, seen: Observation, stop: Stop | None) -> Action | None:
    """Only the source, or whoever knows that the source has ended, starts a guest that arrives."""
    assert record.incoming is not None
    if _has_executed(seen):
        return RecordArrived(paused=False)
    if seen.committed_by == record.incoming.migration_uid:
        return RecordArrived(paused=seen.phase is DomainPhase.STANDING)
    if stop is None:
        return None
    if seen.phase in _ACTIVE:
        return Destroy()
    return RecordEnd(state_pb2.MACHINE_END_START_FAILED, "the target pod was stopped before the guest arrived")


def _has_executed(seen: Observation) -> bool:
    return (
        seen.phase in (DomainPhase.RUNNING, DomainPhase.PANICKED)
        or (seen.phase is DomainPhase.STALLED and seen.stall is StallReason.IO_ERROR)
        or (seen.phase is DomainPhase.SHUTOFF and seen.reason is ShutoffReason.SHUTDOWN)
    )


def _while_copying(seen: Observation, stop: Stop | None, now: float) -> Action | None:
    """The migration finds out what became of a guest that is gone, and stops and starts CPUs."""
    if stop is None or seen.phase not in _ACTIVE:
        return None
    if seen.phase is DomainPhase.MIGRATING and now < stop.deadline:
        return None
    return _toward_end(seen, stop, now)


def _never_start(seen: Observation) -> Action:
    if seen.phase in _ACTIVE:
        return Destroy()
    return RecordEnd(state_pb2.MACHINE_END_DESTROYED, "stopped before the guest ran")


def _after_start(seen: Observation, stop: Stop | None) -> Action | None:
    if seen.phase is DomainPhase.SHUTOFF:
        # A libvirtd that has just restarted may take the QEMU that we destroyed for crashed.
        ours = stop is not None and stop.destroyed and seen.reason is not ShutoffReason.SHUTDOWN
        return RecordEnd(*_ENDS[ShutoffReason.DESTROYED if ours else seen.reason])
    if seen.phase is DomainPhase.ABSENT:
        return RecordEnd(state_pb2.MACHINE_END_CRASHED, "the hypervisor does not know the guest any more")
    if seen.phase is DomainPhase.PANICKED:
        return RecordEnd(state_pb2.MACHINE_END_PANICKED, "the guest's kernel reported a panic")
    return None


def _as_wanted(record: Record, seen: Observation) -> Action | None:
    """Start or stop CPUs as recorded. libvirt has the same state for CPUs that never started and paused CPUs, so the
    record decides. CPUs that QEMU stopped by itself start only on command."""
    if seen.phase is DomainPhase.STANDING and not record.pause_wanted:
        return StartCpus()
    if seen.phase is DomainPhase.MIGRATING and record.migration is not None and not record.pause_wanted:
        return StartCpus()  # libvirt leaves it stopped if it does not know how the migration ended
    if seen.phase is DomainPhase.RUNNING and record.pause_wanted:
        return StopCpus()
    return None


def _toward_end(seen: Observation, stop: Stop, now: float) -> Action | None:
    if now >= stop.deadline or seen.phase is not DomainPhase.RUNNING:
        return Destroy()
    return PressPowerButton() if now >= stop.next_press() else None
