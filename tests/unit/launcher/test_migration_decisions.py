"""When a copy takes too long, where the guest is to run after it, and whether the target can be reached."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.duration_pb2 import Duration
from kubevirt.launcher.v1 import machine_pb2
from kubevirt.launcher.v1 import migration_pb2 as pb
from virt_launcher.domain.observation import DomainPhase, Observation, ShutoffReason
from virt_launcher.migration.limits import Abort, Course, Suspend, downtime_limit, misses_writes, verdict
from virt_launcher.migration.outcome import Outcome, at_source, at_target
from virt_launcher.migration.reachability import unreachable

SECONDS_10 = Duration(seconds=10)
COMPLETION = pb.MigrationOptions(completion_timeout=SECONDS_10)
DISRUPTION = pb.MigrationOptions(completion_timeout=SECONDS_10, allow_workload_disruption=True)
POST_COPY = pb.MigrationOptions(completion_timeout=SECONDS_10, post_copy=True)
PROGRESS = pb.MigrationOptions(progress_timeout=SECONDS_10)
COURSE = Course(began=0).after(100, 0)


def test_a_copy_without_limits_takes_as_long_as_it_takes() -> None:
    assert verdict(COURSE, pb.MigrationOptions(), 10**6) is None


def test_a_copy_that_is_not_completed_in_time_is_aborted_in_kubevirts_words() -> None:
    assert verdict(COURSE, COMPLETION, 10) is None
    assert verdict(COURSE, COMPLETION, 11) == Abort(
        "Live migration is not completed after 11 seconds and has been aborted"
    )


@pytest.mark.parametrize("options", [DISRUPTION, POST_COPY])
def test_a_workload_that_may_be_disrupted_is_suspended_once_for_as_long_again(options: pb.MigrationOptions) -> None:
    assert verdict(COURSE, options, 11) == Suspend()
    suspended = Course(began=0, least_remaining=100, suspended=True)
    assert verdict(suspended, options, 19) is None
    assert isinstance(verdict(suspended, options, 21), Abort)


def test_a_copy_whose_rest_does_not_fall_is_stuck() -> None:
    course = COURSE.after(90, 5).after(95, 12)
    assert verdict(course, PROGRESS, 14) is None
    assert verdict(course, PROGRESS, 16) == Abort("Live migration stuck for 11 seconds and has been aborted")
    assert verdict(course.after(80, 16), PROGRESS, 25) is None


def test_memory_that_is_copied_after_the_disks_is_not_stuck() -> None:
    """Nearly nothing was left of the disks."""
    course = Course(began=0).after(0, 0, memory=False).after(100, 1, memory=False)
    assert verdict(course, PROGRESS, 11) is None, "nobody knew how much there is"
    course = course.after(1, 5, memory=False)
    course = course.after(1000, 14).after(900, 20)
    assert verdict(course, PROGRESS, 25) is None
    assert isinstance(verdict(course.after(950, 26), PROGRESS, 31), Abort)


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (Observation(DomainPhase.SHUTOFF, ShutoffReason.MIGRATED), Outcome.SWITCHED),
        (Observation(DomainPhase.SHUTOFF, ShutoffReason.SHUTDOWN), Outcome.ABORTED),
        (Observation(DomainPhase.SHUTOFF, ShutoffReason.DESTROYED), Outcome.ABORTED),
        (Observation(DomainPhase.SHUTOFF, ShutoffReason.UNKNOWN), Outcome.ASK_TARGET),
        (Observation(DomainPhase.SHUTOFF, ShutoffReason.CRASHED), Outcome.ASK_TARGET),
        (Observation(DomainPhase.ABSENT), Outcome.ASK_TARGET),
        (Observation(DomainPhase.MIGRATING), Outcome.ASK_TARGET),
        (Observation(DomainPhase.RUNNING), Outcome.ABORTED),
        (Observation(DomainPhase.STANDING), Outcome.ABORTED),
    ],
)
def test_the_sources_domain_shows_where_the_guest_runs(seen: Observation, outcome: Outcome) -> None:
    assert at_source(seen) is outcome


def test_only_a_complete_guest_at_the_target_takes_it_from_the_source() -> None:
    outcomes = {phase: at_target(Observation(phase)) for phase in DomainPhase}
    assert outcomes[DomainPhase.ABSENT] is outcomes[DomainPhase.SHUTOFF] is Outcome.ABORTED
    assert outcomes[DomainPhase.MIGRATING] is Outcome.ASK_TARGET
    assert outcomes[DomainPhase.STANDING] is outcomes[DomainPhase.RUNNING] is Outcome.SWITCHED


async def test_a_port_on_which_nobody_listens_yet_is_reached() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await unreachable("127.0.0.1", [port]) == ""
    server.close()
    await server.wait_closed()
    assert await unreachable("127.0.0.1", [port]) == ""


async def test_a_blocked_way_is_named_with_the_ports_for_a_network_policy() -> None:
    reason = await unreachable("255.255.255.255", [16514, 49152])
    assert "cannot be reached on TCP 16514, 49152" in reason
    assert "NetworkPolicy" in reason


async def test_what_is_no_port_cannot_be_reached() -> None:
    assert "cannot be reached on TCP 70000" in await unreachable("127.0.0.1", [70_000])


def test_a_guest_is_stopped_for_a_moment_unless_three_passes_did_not_copy_it() -> None:
    assert [downtime_limit(passes) for passes in range(6)] == [50, 50, 50, 50, 300, 300]


def test_memory_is_copied_once_where_writes_between_two_passes_are_missed() -> None:
    assert {downtime_limit(passes, one_pass=True) for passes in range(6)} == {0}


@pytest.mark.parametrize(
    ("accelerator", "qemu", "expected"),
    [
        (machine_pb2.ACCELERATOR_EMULATION, "7.2.22", True),
        (machine_pb2.ACCELERATOR_EMULATION, "", True),
        (machine_pb2.ACCELERATOR_EMULATION, "9.0.0", False),
        (machine_pb2.ACCELERATOR_EMULATION, "10.0.2", False),
        (machine_pb2.ACCELERATOR_KVM, "7.2.22", False),
    ],
)
def test_writes_are_missed_by_emulation_before_qemu_9(
    accelerator: machine_pb2.Accelerator.ValueType, qemu: str, expected: bool
) -> None:
    assert misses_writes(accelerator, qemu) is expected
