"""The plan of both sides of a live migration: which side may start, stop and end what."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from kubevirt.launcher.v1 import machine_pb2, migration_pb2, state_pb2
from virt_launcher.domain.observation import DomainPhase, Observation, ShutoffReason, StallReason
from virt_launcher.machine.actions import CreateStanding, Destroy, RecordArrived, RecordEnd, StartCpus, StopCpus
from virt_launcher.machine.plan import Stop, plan
from virt_launcher.machine.record import Record
from virt_launcher.machine.status import state

MACHINE = machine_pb2.Machine(uid="u")
RAN = Record(MACHINE, state_pb2.MachineState(phase=state_pb2.MACHINE_PHASE_RUNNING))
PAUSED = replace(RAN, wanted=state_pb2.MachineState(phase=state_pb2.MACHINE_PHASE_PAUSED))
RUNNING, STANDING = Observation(DomainPhase.RUNNING), Observation(DomainPhase.STANDING)
SHUTOFF = {reason: Observation(DomainPhase.SHUTOFF, reason) for reason in ShutoffReason}
EVERY_LOOK = [*(Observation(phase) for phase in DomainPhase), *SHUTOFF.values()]
ARRIVING = Record(MACHINE, incoming=migration_pb2.PrepareTargetRequest(migration_uid="m", machine=MACHINE))
MIGRATING = Observation(DomainPhase.MIGRATING)
COMMITTED_PAUSED = replace(STANDING, committed_by="m")
STOPS = (None, Stop(0, 5), Stop(100, 5))
ABORT = Stop(float("-inf"), 5, before_arrival=True)


def leaving(phase: str, record: Record = RAN) -> Record:
    number = migration_pb2.MigrationPhase.Value(f"MIGRATION_PHASE_{phase}")
    return replace(record, migration=migration_pb2.MigrationState(migration_uid="m", phase=number))


def test_a_launcher_that_awaits_a_guest_starts_and_ends_nothing() -> None:
    for seen in (*EVERY_LOOK, MIGRATING, replace(STANDING, committed_by="another")):
        action = plan(ARRIVING, seen, None, 10)
        assert action is None or isinstance(action, RecordArrived)
    assert plan(ARRIVING, STANDING, None, 10) is None
    assert plan(ARRIVING, MIGRATING, None, 10) is None
    assert state(ARRIVING, STANDING).phase == state_pb2.MACHINE_PHASE_INCOMING


@pytest.mark.parametrize(
    ("seen", "paused"),
    [
        (RUNNING, False),
        (Observation(DomainPhase.STALLED, stall=StallReason.IO_ERROR), False),
        (SHUTOFF[ShutoffReason.SHUTDOWN], False),
        (COMMITTED_PAUSED, True),
        (replace(SHUTOFF[ShutoffReason.CRASHED], committed_by="m"), False),
    ],
)
def test_a_guest_that_the_source_handed_over_has_arrived(seen: Observation, paused: bool) -> None:
    assert plan(ARRIVING, seen, None, 0) == RecordArrived(paused)
    assert plan(ARRIVING, seen, ABORT, 0) == RecordArrived(paused), "too late for an abort"


def test_a_guest_that_dies_before_it_arrives_has_not_ended_here() -> None:
    for reason in (ShutoffReason.CRASHED, ShutoffReason.FAILED, ShutoffReason.DESTROYED, ShutoffReason.UNKNOWN):
        assert plan(ARRIVING, SHUTOFF[reason], None, 0) is None


def test_an_aborted_arrival_ends_as_a_failed_start() -> None:
    for stop in (ABORT, Stop(60, 5)):
        assert plan(ARRIVING, STANDING, stop, 0) == Destroy()
        assert plan(ARRIVING, MIGRATING, stop, 0) == Destroy()
        action = plan(ARRIVING, SHUTOFF[ShutoffReason.DESTROYED], stop, 0)
        assert isinstance(action, RecordEnd)
        assert action.end == state_pb2.MACHINE_END_START_FAILED


def test_an_abort_does_not_end_a_guest_that_has_arrived() -> None:
    assert plan(replace(ARRIVING, running=RAN.running), RUNNING, ABORT, 0) is None


def test_a_source_that_switched_never_starts_its_guest() -> None:
    looks = (*EVERY_LOOK, MIGRATING)
    for phase, seen, stop in itertools.product(("SWITCHED", "COMMITTED"), looks, STOPS):
        action = plan(leaving(phase), seen, stop, 10)
        assert action is None or isinstance(action, Destroy | RecordEnd)
    assert plan(leaving("SWITCHED"), MIGRATING, None, 0) == Destroy(), "what libvirt has left of it"
    assert plan(leaving("SWITCHED"), SHUTOFF[ShutoffReason.MIGRATED], None, 0) is None
    assert state(leaving("SWITCHED"), None).phase == state_pb2.MACHINE_PHASE_MIGRATED


def test_a_committed_migration_is_the_machines_end() -> None:
    action = plan(leaving("COMMITTED"), SHUTOFF[ShutoffReason.MIGRATED], None, 0)
    assert isinstance(action, RecordEnd)
    assert action.end == state_pb2.MACHINE_END_MIGRATED


def test_nobody_but_the_migration_decides_while_it_copies() -> None:
    for seen in (*EVERY_LOOK, MIGRATING):
        assert plan(leaving("COPYING"), seen, None, 0) is None
        assert not isinstance(plan(leaving("COPYING"), seen, Stop(0, 5), 1), StartCpus | StopCpus | CreateStanding)
    assert plan(leaving("COPYING"), MIGRATING, Stop(60, 5), 0) is None
    assert plan(leaving("COPYING"), MIGRATING, Stop(60, 5), 60) == Destroy()


def test_an_aborted_migration_leaves_the_guest_as_it_was() -> None:
    assert plan(leaving("ABORTED"), RUNNING, None, 0) is None
    assert plan(leaving("ABORTED"), STANDING, None, 0) == StartCpus(), "the migration had stopped its CPUs"
    assert plan(leaving("ABORTED"), MIGRATING, None, 0) == StartCpus()
    assert plan(leaving("ABORTED", PAUSED), MIGRATING, None, 0) is None


def test_a_guest_that_copies_is_reported_as_before() -> None:
    for seen in (RUNNING, MIGRATING, STANDING, SHUTOFF[ShutoffReason.MIGRATED]):
        assert state(leaving("COPYING"), seen).phase == state_pb2.MACHINE_PHASE_RUNNING
    assert state(leaving("COPYING", PAUSED), MIGRATING).phase == state_pb2.MACHINE_PHASE_PAUSED
