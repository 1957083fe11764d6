"""Whatever dies during a migration, in whatever order: the guest runs on one side at most, and in the end on one.

Both launchers run whole, against two hypervisors that do what libvirt does. Their processes, libvirtds and QEMUs die at
any time; the handlers act as their contract says once they leave off.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from kubevirt.launcher.v1 import command_pb2, state_pb2
from kubevirt.launcher.v1 import migration_pb2 as pb
from virt_core.rpc.errors import RpcError
from virt_launcher.domain.observation import DomainPhase
from virt_launcher.machine.plan import plan

from tests.support import virtual_time
from tests.unit.launcher.launcher_pod import machine
from tests.unit.launcher.migrating_pods import MigratingPod, Pair

EXAMPLES = int(os.environ.get("EXAMPLES", "200"))
"""Histories; the same ones each time, unless another number is wanted."""

pytestmark = pytest.mark.exhaustive

SIDES = ("source", "target")
SIDE = st.sampled_from(SIDES)
STEPS = st.one_of(
    st.tuples(st.just("restart"), SIDE),
    st.tuples(st.just("die"), st.tuples(SIDE, st.integers(0, 3), st.booleans())),
    st.tuples(st.just("libvirtd"), SIDE),
    st.tuples(st.just("libvirtd"), SIDE),
    st.tuples(st.just("qemu"), SIDE),
    st.tuples(st.just("power off"), SIDE),
    st.tuples(st.just("cancel"), st.none()),
    st.tuples(st.just("command"), st.sampled_from(("pause", "unpause"))),
    st.tuples(st.just("stop"), st.sampled_from((0.0, 7.0))),
    st.tuples(st.just("source's node"), st.none()),
)
# The copy takes 3 s, its end 0.5 s.
PAUSES = st.sampled_from((0.0, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.5, 3.0, 3.0625, 3.125, 3.3125, 3.4375))
HISTORY = st.lists(st.tuples(PAUSES, STEPS), max_size=6)


@given(paused=st.booleans(), history=HISTORY)
@settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 200)
def test_a_guest_runs_on_one_side_at_most_and_in_the_end_on_one(paused: bool, history: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        virtual_time.run(live(Path(folder), paused, history))


async def live(folder: Path, paused: bool, history: list[tuple[float, tuple[str, Any]]]) -> None:
    pair = Pair(folder)
    calls: list[asyncio.Task[None]] = []
    try:
        await pair.begin()
        await pair.source.start_machine(machine(start_paused=paused))
        await pair.prepare()
        await pair.copy()
        for pause, (kind, argument) in history:
            await asyncio.sleep(pause)
            await step(pair, calls, kind, argument)
        for side in SIDES:
            if not (side == "source" and pair.source_is_dead):
                well(getattr(pair, side))
        for _ in range(20):
            await asyncio.sleep(10)
            await pair.settle()
        judge(pair)
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await pair.end()


async def step(pair: Pair, calls: list[asyncio.Task[None]], kind: str, argument: Any) -> None:
    """What happens to both pods."""
    if pair.source_is_dead and argument in ("source", None):
        return
    match kind:
        case "restart":
            await getattr(pair, argument).restart()
        case "die" if not (argument[0] == "source" and pair.source_is_dead):
            getattr(pair, argument[0]).die_at(argument[1], after_effect=argument[2])
        case "libvirtd":
            hypervisor = getattr(pair, argument).hypervisor
            hypervisor.stop_libvirtd() if hypervisor.answers else restart_libvirtd(pair, argument)
        case "qemu":
            getattr(pair, argument).hypervisor.kill_qemu()
        case "power off":
            getattr(pair, argument).hypervisor.power_off()
        case "cancel":
            call(calls, pair.cancel())
        case "command" if not pair.source_is_dead:
            command = {"pause": command_pb2.Pause(), "unpause": command_pb2.Unpause()}[argument]
            call(calls, pair.source.command(**{argument: command}))
        case "stop" if not pair.source_is_dead:
            pair.source.keeper.request_stop(argument)
        case "source's node":
            await pair.kill_source()


def restart_libvirtd(pair: Pair, side: str) -> None:
    getattr(pair, side).hypervisor.start_libvirtd()


def well(pod: MigratingPod) -> None:
    if not pod.hypervisor.answers:
        pod.hypervisor.start_libvirtd()


def call(calls: list[asyncio.Task[None]], coroutine: Any) -> None:
    async def calling() -> None:
        with contextlib.suppress(RpcError, TimeoutError):
            async with asyncio.timeout(60):
                await coroutine

    calls.append(asyncio.create_task(calling(), name="handler"))


def judge(pair: Pair) -> None:
    """The promises of both launchers."""
    assert not pair.violations, pair.violations
    source, target = pair.source, pair.target
    state = source.record.migration
    assert state is not None
    event(f"{pb.MigrationPhase.Name(state.phase)}, target {state_pb2.MachinePhase.Name(target.state.phase)}")
    if pair.source_is_dead:
        assert target.record.running is not None or target.finished.is_set(), "the target waits for ever"
        return
    assert state.phase in (pb.MIGRATION_PHASE_ABORTED, pb.MIGRATION_PHASE_COMMITTED) or not target.hypervisor.has_qemu
    assert plan(source.record, source.hypervisor.observe(), None, 0) is None, "something is left to do"
    if state.phase == pb.MIGRATION_PHASE_ABORTED:
        assert target.finished.is_set() and not target.hypervisor.lives
        if source.record.ended is None and not source.record.pause_wanted:
            assert source.hypervisor.phase is DomainPhase.RUNNING
    if state.phase == pb.MIGRATION_PHASE_COMMITTED:
        assert not source.hypervisor.has_qemu
        assert target.record.running is not None
        if target.record.ended is None:
            assert target.record.pause_wanted is source.record.pause_wanted
            assert target.hypervisor.phase is (
                DomainPhase.STANDING if source.record.pause_wanted else DomainPhase.RUNNING
            )
