"""The plan after a crash of launcher, libvirtd or QEMU at each point."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from kubevirt.launcher.v1 import guest_pb2, machine_pb2, state_pb2
from virt_launcher.domain.observation import DiskError, DomainPhase, Observation, ShutoffReason, StallReason
from virt_launcher.machine.actions import (
    Action,
    CreateStanding,
    Destroy,
    PressPowerButton,
    RecordEnd,
    RecordRunning,
    StartCpus,
    StopCpus,
)
from virt_launcher.machine.plan import Stop, plan
from virt_launcher.machine.record import Record
from virt_launcher.machine.status import state

MACHINE = machine_pb2.Machine(uid="u")
NEW = Record(MACHINE)
RAN = Record(MACHINE, state_pb2.MachineState(phase=state_pb2.MACHINE_PHASE_RUNNING))
PAUSED = replace(RAN, wanted=state_pb2.MachineState(phase=state_pb2.MACHINE_PHASE_PAUSED))
UNPAUSED = replace(RAN, wanted=state_pb2.MachineState(phase=state_pb2.MACHINE_PHASE_RUNNING))
PAUSED_FROM_THE_START = replace(RAN, machine=machine_pb2.Machine(uid="u", start_paused=True))
ENDED = Record(
    MACHINE,
    RAN.running,
    state_pb2.MachineState(phase=state_pb2.MACHINE_PHASE_ENDED, end=state_pb2.MACHINE_END_SHUTDOWN),
)

ABSENT, STANDING, RUNNING = (Observation(p) for p in (DomainPhase.ABSENT, DomainPhase.STANDING, DomainPhase.RUNNING))
PANICKED, STALLED = Observation(DomainPhase.PANICKED), Observation(DomainPhase.STALLED)
SHUTOFF = {reason: Observation(DomainPhase.SHUTOFF, reason) for reason in ShutoffReason}
EVERY_LOOK = [ABSENT, STANDING, RUNNING, PANICKED, STALLED, *SHUTOFF.values()]


def test_no_machine_nothing_to_do() -> None:
    assert all(plan(Record(), seen, stop, 0) is None for seen in EVERY_LOOK for stop in (None, Stop(0, 5)))


@pytest.mark.parametrize(
    ("died", "record", "seen", "then"),
    [
        ("before define", NEW, ABSENT, CreateStanding()),
        ("after define", NEW, SHUTOFF[ShutoffReason.UNKNOWN], CreateStanding()),
        ("QEMU, before its guest ran", NEW, SHUTOFF[ShutoffReason.CRASHED], CreateStanding()),
        ("libvirtd, half-way through create", NEW, SHUTOFF[ShutoffReason.FAILED], CreateStanding()),
        ("libvirtd, and its successor ends that QEMU", NEW, replace(RUNNING, ending=True), None),
        ("after create", NEW, STANDING, RecordRunning()),
        ("after the record", RAN, STANDING, StartCpus()),
        ("after the start", RAN, RUNNING, None),
        ("a stalled guest is not ours to go on with", RAN, STALLED, None),
        ("between a pause's record and the pause", PAUSED, RUNNING, StopCpus()),
        ("after a pause", PAUSED, STANDING, None),
        ("a pause of a guest that stalled", PAUSED, STALLED, None),
        ("between an unpause's record and the unpause", UNPAUSED, STANDING, StartCpus()),
        ("after an unpause", UNPAUSED, RUNNING, None),
        ("after a start that hangs", PAUSED_FROM_THE_START, STANDING, None),
        (
            "a start that hangs, before its record",
            replace(PAUSED_FROM_THE_START, running=None),
            STANDING,
            RecordRunning(),
        ),
        ("after its unpause", replace(UNPAUSED, machine=PAUSED_FROM_THE_START.machine), STANDING, StartCpus()),
    ],
)
def test_interrupted_start_goes_on(died: str, record: Record, seen: Observation, then: Action | None) -> None:
    assert plan(record, seen, None, 0) == then


@pytest.mark.parametrize(
    ("seen", "end"),
    [
        (SHUTOFF[ShutoffReason.SHUTDOWN], state_pb2.MACHINE_END_SHUTDOWN),
        (SHUTOFF[ShutoffReason.DESTROYED], state_pb2.MACHINE_END_DESTROYED),
        (SHUTOFF[ShutoffReason.CRASHED], state_pb2.MACHINE_END_CRASHED),
        (SHUTOFF[ShutoffReason.FAILED], state_pb2.MACHINE_END_CRASHED),
        (SHUTOFF[ShutoffReason.UNKNOWN], state_pb2.MACHINE_END_CRASHED),
        (PANICKED, state_pb2.MACHINE_END_PANICKED),
        (ABSENT, state_pb2.MACHINE_END_CRASHED),
    ],
)
def test_guest_that_ran_and_is_gone_has_ended(seen: Observation, end: state_pb2.MachineEnd.ValueType) -> None:
    action = plan(RAN, seen, None, 0)
    assert isinstance(action, RecordEnd)
    assert action.end == end


def test_nothing_starts_what_ran_or_ended() -> None:
    records, stops = (RAN, PAUSED, PAUSED_FROM_THE_START, ENDED), (None, Stop(0, 5), Stop(100, 5))
    for record, seen, stop in itertools.product(records, EVERY_LOOK, stops):
        assert not isinstance(plan(record, seen, stop, 10), CreateStanding)


def test_ended_machine_leaves_no_qemu() -> None:
    assert plan(ENDED, PANICKED, None, 0) == Destroy()
    assert plan(ENDED, RUNNING, None, 0) == Destroy()
    assert plan(ENDED, SHUTOFF[ShutoffReason.SHUTDOWN], None, 0) is None


def test_stop_presses_the_button_repeatedly_then_destroys() -> None:
    assert plan(RAN, RUNNING, Stop(deadline=60, interval=5), 0) == PressPowerButton()
    assert plan(RAN, RUNNING, Stop(deadline=60, interval=5, pressed=0), 4.9) is None
    assert plan(RAN, RUNNING, Stop(deadline=60, interval=5, pressed=0), 5) == PressPowerButton()
    assert plan(RAN, RUNNING, Stop(deadline=60, interval=5, pressed=58), 60) == Destroy()


def test_guest_that_cannot_hear_the_button_is_destroyed_at_once() -> None:
    assert plan(RAN, STANDING, Stop(60, 5), 0) == Destroy()
    assert plan(RAN, STALLED, Stop(60, 5), 0) == Destroy()


def test_stop_before_the_start_never_starts() -> None:
    assert plan(NEW, STANDING, Stop(60, 5), 0) == Destroy()
    for seen in (ABSENT, SHUTOFF[ShutoffReason.UNKNOWN], SHUTOFF[ShutoffReason.DESTROYED]):
        action = plan(NEW, seen, Stop(60, 5), 0)
        assert isinstance(action, RecordEnd)
        assert action.end == state_pb2.MACHINE_END_DESTROYED


def test_own_destroy_is_not_taken_for_a_crash_but_own_shutdown_counts() -> None:
    ends = {}
    for reason in (ShutoffReason.CRASHED, ShutoffReason.SHUTDOWN):
        action = plan(RAN, SHUTOFF[reason], Stop(0, 5, destroyed=True), 1)
        assert isinstance(action, RecordEnd)
        ends[reason] = action.end
    expected = {
        ShutoffReason.CRASHED: state_pb2.MACHINE_END_DESTROYED,
        ShutoffReason.SHUTDOWN: state_pb2.MACHINE_END_SHUTDOWN,
    }
    assert ends == expected


def test_phases() -> None:
    assert state(Record(), None).phase == state_pb2.MACHINE_PHASE_ABSENT
    assert state(NEW, STANDING).phase == state_pb2.MACHINE_PHASE_STARTING
    assert state(NEW, None).phase == state_pb2.MACHINE_PHASE_STARTING, (
        "no hypervisor is needed to know that nothing ran"
    )
    assert state(RAN, STANDING).phase == state_pb2.MACHINE_PHASE_STARTING
    assert state(RAN, RUNNING).phase == state_pb2.MACHINE_PHASE_RUNNING
    assert state(UNPAUSED, STANDING).phase == state_pb2.MACHINE_PHASE_RUNNING, "it started long ago"
    assert state(ENDED, None, guest_pb2.GuestAgent(version="1")).HasField("agent") is False
    assert state(RAN, None).phase == state_pb2.MACHINE_PHASE_UNKNOWN
    assert state(ENDED, None).end == state_pb2.MACHINE_END_SHUTDOWN, "a recorded end needs no hypervisor"


@pytest.mark.parametrize(
    ("record", "seen", "reason"),
    [
        (PAUSED, STANDING, state_pb2.PAUSE_REASON_BY_USER),
        (PAUSED_FROM_THE_START, STANDING, state_pb2.PAUSE_REASON_BY_USER),
        (RAN, Observation(DomainPhase.STALLED, stall=StallReason.IO_ERROR), state_pb2.PAUSE_REASON_IO_ERROR),
        (PAUSED, Observation(DomainPhase.STALLED, stall=StallReason.IO_ERROR), state_pb2.PAUSE_REASON_IO_ERROR),
        (RAN, STALLED, state_pb2.PAUSE_REASON_BY_HYPERVISOR),
    ],
)
def test_reasons_for_a_pause_are_distinguished(
    record: Record, seen: Observation, reason: state_pb2.PauseReason.ValueType
) -> None:
    reported = state(record, seen)
    assert (reported.phase, reported.pause_reason) == (state_pb2.MACHINE_PHASE_PAUSED, reason)
    assert bool(reported.message) == (reason != state_pb2.PAUSE_REASON_BY_USER)


def test_disks_because_of_which_qemu_stopped_are_reported_by_name() -> None:
    running = state_pb2.MachineState(
        disks=[state_pb2.DiskState(name="data", target="vda"), state_pb2.DiskState(name="logs", target="sda")]
    )
    record = replace(RAN, running=running)
    errors = (DiskError("vda", no_space=True), DiskError("sda", no_space=False), DiskError("sdz", no_space=False))
    seen = Observation(DomainPhase.STALLED, stall=StallReason.IO_ERROR, disk_errors=errors)
    assert state(record, seen).message == (
        "disk data: there is no space left where it is stored; disk logs: it could not be read or written; "
        "disk sdz: it could not be read or written"
    )


def test_the_machine_type_is_reported_once_the_guest_runs() -> None:
    record = replace(RAN, running=state_pb2.MachineState(machine_type="pc-q35-10.0"))
    assert all(state(record, seen).machine_type == "pc-q35-10.0" for seen in (RUNNING, STANDING, STALLED, None))


def test_agent_is_part_of_every_state_of_a_guest() -> None:
    agent = guest_pb2.GuestAgent(version="7.2")
    assert all(state(RAN, seen, agent).agent == agent for seen in (RUNNING, STANDING, STALLED, None))
