"""A guest moves from one launcher to another, and what its handlers see of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from kubevirt.launcher.v1 import command_pb2, state_pb2
from kubevirt.launcher.v1 import migration_pb2 as pb
from virt_core.rpc.errors import Refused, Unavailable
from virt_launcher.domain.observation import DomainPhase

from tests.unit.launcher.launcher_pod import UID
from tests.unit.launcher.migrating_pods import MIGRATION, TARGET, Pair


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    made = Pair(tmp_path)
    await made.begin()
    await made.source.start_machine()
    await made.source.phase(state_pb2.MACHINE_PHASE_RUNNING)
    yield made
    await made.end()
    assert not made.violations


async def test_the_guest_runs_at_the_target_and_the_source_has_ended(pair: Pair) -> None:
    await pair.prepare()
    assert pair.target.state.phase == state_pb2.MACHINE_PHASE_INCOMING
    assert (await pair.copy()).phase == pb.MIGRATION_PHASE_COPYING
    await pair.migrated()
    assert (await pair.target.phase(state_pb2.MACHINE_PHASE_RUNNING)).machine_uid
    assert pair.source.source.published.state.phase == pb.MIGRATION_PHASE_COMMITTED
    assert pair.source.source.published.state.downtime_ms == 42
    await pair.source.acknowledge(state_pb2.MACHINE_END_MIGRATED)
    assert pair.source.finished.is_set()


@pytest.mark.parametrize(("connected", "seconds"), [(False, 0.5), (True, 5.25)])
async def test_a_target_stops_listening_when_its_source_has_its_answer(
    pair: Pair, connected: bool, seconds: float
) -> None:
    """A source that never closes its connection is waited for a few seconds."""
    await pair.prepare()
    pair.target.listening.connected = connected
    await pair.copy()
    await pair.migrated()
    await pair.target.phase(state_pb2.MACHINE_PHASE_RUNNING)
    await asyncio.sleep(seconds - 0.5)
    assert not connected or pair.target.listening.address == TARGET
    await asyncio.sleep(0.5)
    assert (pair.target.listening.address, pair.target.certificates.owner) == (None, "")


async def test_a_target_listens_until_its_source_has_handed_over(pair: Pair) -> None:
    """The guest runs, and the source repeats the call, because it did not get the answer."""
    await pair.prepare()
    await pair.copy()
    pair.target.hypervisor.refusals["hand_over"] = "not now"
    await pair.source.source.published.until(lambda state: state.phase == pb.MIGRATION_PHASE_SWITCHED)
    pair.target.hypervisor.start_cpus()
    await pair.target.phase(state_pb2.MACHINE_PHASE_RUNNING)
    await asyncio.sleep(2)
    assert pair.target.listening.address == TARGET
    del pair.target.hypervisor.refusals["hand_over"]
    await pair.migrated()


async def test_a_paused_guest_arrives_paused_and_can_be_unpaused(pair: Pair) -> None:
    await pair.source.command(pause=command_pb2.Pause())
    await pair.prepare()
    await pair.copy()
    await pair.migrated()
    state = await pair.target.phase(state_pb2.MACHINE_PHASE_PAUSED)
    assert state.pause_reason == state_pb2.PAUSE_REASON_BY_USER
    assert pair.target.hypervisor.phase is DomainPhase.STANDING
    await pair.target.command(unpause=command_pb2.Unpause())
    assert pair.target.state.phase == state_pb2.MACHINE_PHASE_RUNNING


async def test_a_guest_that_is_canceled_runs_on(pair: Pair) -> None:
    await pair.prepare()
    await pair.copy()
    await asyncio.sleep(1)
    await pair.cancel()
    await pair.source.source.published.until(lambda state: state.phase == pb.MIGRATION_PHASE_ABORTED)
    state = pair.source.source.published.state
    assert (state.canceled, state.reason) == (True, "Live migration aborted ")
    assert pair.source.hypervisor.phase is DomainPhase.RUNNING
    await pair.settle()
    assert pair.target.finished.is_set()


async def test_a_migration_that_was_canceled_before_does_not_begin(pair: Pair) -> None:
    await pair.prepare()
    await pair.cancel()
    assert (await pair.copy()).phase == pb.MIGRATION_PHASE_ABORTED
    assert not pair.network.jobs
    assert pair.source.certificates.owner == ""


async def test_a_late_cancel_of_another_migration_leaves_the_next_ones_certificates(pair: Pair) -> None:
    await pair.prepare()
    late = pb.CancelMigrationRequest(migration_uid="the one before")
    await pair.source.migration.CancelMigration(late, None)
    assert pair.source.certificates.owner == MIGRATION
    await pair.copy()
    await pair.migrated()


async def test_a_migration_that_is_canceled_while_its_target_is_dialed_leaves_nothing(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialed, answered = asyncio.Event(), asyncio.Event()

    async def reach(address: str, ports: object) -> str:
        dialed.set()
        await answered.wait()
        return ""

    monkeypatch.setattr(pair.source.source, "_reach", reach)
    await pair.prepare()
    async with asyncio.TaskGroup() as group:
        started = group.create_task(pair.copy())
        await dialed.wait()
        await pair.cancel()
        answered.set()
    assert started.result().phase == pb.MIGRATION_PHASE_ABORTED
    assert not pair.network.jobs and pair.source.certificates.owner == ""
    assert pair.source.source._connections is None


@pytest.mark.parametrize(
    "command",
    [
        {"pause": command_pb2.Pause()},
        {"unpause": command_pb2.Unpause()},
        {"freeze": command_pb2.Freeze()},
        {"reset": command_pb2.Reset()},
        {"soft_reboot": command_pb2.SoftReboot()},
    ],
    ids=lambda command: next(iter(command)),
)
async def test_a_command_is_refused_at_once_while_the_guest_is_copied(pair: Pair, command: Any) -> None:
    """libvirt would wait for the end of the copy with a reset, and then carry it out."""
    pair.source.hypervisor.start_agent()
    await asyncio.sleep(1)
    await pair.prepare()
    await pair.copy()
    assert await refusal_of(pair.source.command(**command)) == "MIGRATING"
    await pair.migrated()


async def test_a_guest_whose_agent_answers_late_is_not_frozen_while_it_is_copied(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would thaw it at the target."""
    agent = pair.source.hypervisor.start_agent()
    await asyncio.sleep(1)
    ask, asked, copying = pair.source.agent._ask, asyncio.Event(), asyncio.Event()

    async def ask_slowly(command: str, **options: Any) -> Any:
        asked.set()
        await copying.wait()
        return await ask(command, **options)

    await pair.prepare()
    monkeypatch.setattr(pair.source.agent, "_ask", ask_slowly)
    async with asyncio.TaskGroup() as group:
        frozen = group.create_task(refusal_of(pair.source.command(freeze=command_pb2.Freeze())))
        await asked.wait()
        assert (await pair.copy()).phase == pb.MIGRATION_PHASE_COPYING
        copying.set()
    assert frozen.result() == "MIGRATING" and not agent.frozen
    await pair.migrated()


async def refusal_of(command: Awaitable[Any]) -> str:
    with pytest.raises(Refused) as refusal:
        await command
    return refusal.value.reason


async def test_a_copy_that_takes_too_long_is_aborted(pair: Pair) -> None:
    await pair.prepare()
    options = pb.MigrationOptions()
    options.completion_timeout.FromSeconds(1)
    await pair.copy(completion_timeout=options.completion_timeout)
    await pair.source.source.published.until(lambda state: state.phase == pb.MIGRATION_PHASE_ABORTED)
    assert "is not completed after" in pair.source.source.published.state.reason


async def test_the_end_of_a_copy_may_stop_a_guest_for_longer_that_writes_too_much(pair: Pair) -> None:
    await pair.prepare()
    await pair.copy()
    await pair.migrated()
    assert pair.network.downtime_limits == [50, 300]


async def test_an_old_qemu_that_emulates_the_guest_copies_its_memory_once(pair: Pair) -> None:
    pair.source.qemu = "7.2.22"
    await pair.source.restart()
    await pair.prepare()
    await pair.copy()
    await pair.migrated()
    assert pair.network.downtime_limits == [0]


async def test_a_guest_that_is_suspended_to_be_copied_runs_at_the_target(pair: Pair) -> None:
    await pair.prepare()
    options = pb.MigrationOptions()
    options.completion_timeout.FromMilliseconds(1600)
    await pair.copy(completion_timeout=options.completion_timeout, allow_workload_disruption=True)
    await pair.source.source.published.until(lambda state: state.mode == pb.MIGRATION_MODE_PAUSED)
    await asyncio.sleep(0.1)
    assert pair.source.hypervisor.phase is DomainPhase.STANDING
    assert pair.source.state.phase == state_pb2.MACHINE_PHASE_RUNNING
    await pair.migrated()
    await pair.target.phase(state_pb2.MACHINE_PHASE_RUNNING)


async def test_a_target_whose_source_ended_keeps_only_a_complete_guest(pair: Pair) -> None:
    await pair.prepare()
    await pair.copy()
    await asyncio.sleep(1)
    await pair.kill_source()
    await asyncio.sleep(1)
    with pytest.raises(Refused) as refusal:
        await pair.target.migration.CommitTarget(pb.CommitTargetRequest(migration_uid="other"), None)
    assert refusal.value.reason == "NOT_ARRIVED"
    await pair.settle()
    assert pair.target.finished.is_set()


async def test_a_guest_that_ran_on_at_its_source_is_not_started_at_the_target(pair: Pair) -> None:
    """libvirt's answer to the source is lost after the guest has arrived: the source resumes it, and its node dies."""
    await pair.prepare()
    await pair.copy()
    await asyncio.sleep(3.375)
    assert pair.target.hypervisor.phase is DomainPhase.STANDING
    pair.target.hypervisor.stop_libvirtd()
    await asyncio.sleep(0.25)
    assert pair.source.hypervisor.phase is DomainPhase.RUNNING
    await pair.kill_source()
    pair.target.hypervisor.start_libvirtd()
    await asyncio.sleep(1)
    await pair.settle()
    assert not pair.violations
    assert pair.target.finished.is_set()


async def test_a_launcher_that_restarts_goes_on_with_the_copy(pair: Pair) -> None:
    await pair.prepare()
    await pair.copy()
    await asyncio.sleep(1)
    await pair.source.restart()
    await pair.target.restart()
    await pair.migrated()
    await pair.target.phase(state_pb2.MACHINE_PHASE_RUNNING)


async def test_a_guest_that_has_just_arrived_can_leave_again(pair: Pair) -> None:
    await pair.prepare()
    await pair.copy()
    await pair.migrated()
    await pair.target.phase(state_pb2.MACHINE_PHASE_RUNNING)
    next_one = pb.GetMigrationIdentityRequest(migration_uid="next", machine_uid=UID, address=TARGET)
    await pair.target.migration.GetMigrationIdentity(next_one, None)
    for _ in range(2):
        assert (pair.target.listening.address, pair.target.certificates.owner) == (None, "next")
        await asyncio.sleep(20)
        await pair.target.restart()
        await asyncio.sleep(20)
    await pair.target.restart()


async def test_a_source_in_the_phase_migrated_ends_at_once_on_sigterm(pair: Pair) -> None:
    await pair.prepare()
    await pair.copy()
    pair.target.hypervisor.refusals["hand_over"] = "not now"
    await pair.source.source.published.until(lambda state: state.phase >= pb.MIGRATION_PHASE_SWITCHED)
    pair.source.terminate()
    async with asyncio.timeout(0.5):
        await pair.source.finished.wait()


async def test_a_target_that_died_while_it_recorded_the_request_listens_when_it_is_prepared(pair: Pair) -> None:
    """incoming.binpb is written before machine.binpb."""
    await pair.target.kill()
    pair.target.keeper._records.write_incoming(pb.PrepareTargetRequest(migration_uid=MIGRATION, address=TARGET))
    pair.target.start()
    await asyncio.sleep(1)
    await pair.prepare()
    await asyncio.sleep(20)
    assert (pair.target.listening.address, pair.target.certificates.owner) == (TARGET, MIGRATION)
    await pair.copy()
    await pair.migrated()
    await pair.target.phase(state_pb2.MACHINE_PHASE_RUNNING)


async def test_a_handler_that_asks_first_hears_of_the_migration_of_the_process_before(pair: Pair) -> None:
    await pair.prepare()
    await pair.copy()
    pair.target.hypervisor.refusals["hand_over"] = "not now"
    await pair.source.source.published.until(lambda state: state.phase == pb.MIGRATION_PHASE_SWITCHED)
    await pair.source.kill()
    pair.source.start()
    watch = pair.source.migration.WatchMigration(pb.WatchMigrationRequest(migration_uid=MIGRATION), None)
    async with aclosing(watch):
        assert (await anext(watch)).state.phase == pb.MIGRATION_PHASE_SWITCHED
    del pair.target.hypervisor.refusals["hand_over"]
    await pair.migrated()


async def test_a_guest_that_may_have_been_started_here_is_not_discarded_unseen(pair: Pair) -> None:
    """The target's launcher and libvirtd die right after the hand-over, and then the source's node."""
    await pair.prepare()
    await pair.copy()
    await asyncio.sleep(1)
    await pair.target.kill()
    await pair.source.source.published.until(lambda state: state.phase == pb.MIGRATION_PHASE_COMMITTED)
    pair.target.hypervisor.stop_libvirtd()
    pair.target.start()
    await pair.kill_source()
    with pytest.raises(Unavailable):
        await pair.target.migration.AbortTarget(pb.AbortTargetRequest(migration_uid=MIGRATION), None)
    assert not pair.target.finished.is_set() and pair.target.hypervisor.phase is DomainPhase.RUNNING
    pair.target.hypervisor.start_libvirtd()
    assert (await pair.target.phase(state_pb2.MACHINE_PHASE_RUNNING)).machine_uid == UID
    await pair.target.command(pause=command_pb2.Pause())
    assert pair.target.state.phase == state_pb2.MACHINE_PHASE_PAUSED


async def test_a_target_that_starts_again_listens_when_a_later_libvirtd_starts_in_time(pair: Pair) -> None:
    await pair.prepare()
    pair.target.listening.failures = 2
    await pair.target.restart()
    await asyncio.sleep(20)
    assert pair.target.listening.address == TARGET
    await pair.copy()
    await pair.migrated()
