"""Whatever happens around a machine, in whatever order: in the end nothing is left to do, and promises are kept.

The launcher runs whole against a hypervisor that refuses, hangs, restarts and loses its guest, and its process dies at
any call. Once they leave off, the plan for what is seen is empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from kubevirt.launcher.v1 import command_pb2, state_pb2
from virt_core.rpc.errors import RpcError
from virt_launcher.domain.observation import DiskError, DomainPhase
from virt_launcher.errors import AgentRefused, AgentUnavailable
from virt_launcher.machine.plan import plan
from virt_launcher.machine.record import RecordFolder
from virt_launcher.machine.status import state

from tests.support import virtual_time
from tests.unit.launcher.launcher_pod import LauncherPod, machine

EXAMPLES = int(os.environ.get("EXAMPLES", "500"))
"""Histories; the same ones each time, unless another number is wanted."""

QUIET = 600.0
"""Longer than a guest's time to shut down, and than a thaw takes."""
COMMANDS: dict[str, dict[str, Any]] = {
    "pause": {"pause": command_pb2.Pause()},
    "unpause": {"unpause": command_pb2.Unpause()},
    "reset": {"reset": command_pb2.Reset()},
    "reboot": {"soft_reboot": command_pb2.SoftReboot()},
    "freeze": {"freeze": command_pb2.Freeze()},
    "unfreeze": {"unfreeze": command_pb2.Unfreeze()},
}
FUNCTIONS = ("observe", "start_cpus", "stop_cpus", "destroy", "press_power_button", "machine_type", "ask")


class World:
    """One pod and whoever acts on it.

    Attributes:
        paused: what the last pause or unpause that succeeded has left; None: none did, or another was tried after it.
    """

    def __init__(self, pod: LauncherPod) -> None:
        self.pod = pod
        self.callers: list[asyncio.Task[None]] = []
        self.paused: bool | None = None
        self._pausing = 0
        pod.hypervisor.before_cpus_start = self._require_record

    def _require_record(self) -> None:
        recorded = RecordFolder(self.pod.settings.state_folder).record
        assert recorded.running is not None and recorded.ended is None

    async def step(self, kind: str, argument: Any) -> None:
        """What the handler, the kubelet and the supervisor do."""
        match kind:
            case "start":
                self.call(self.pod.start_machine(machine(start_paused=argument)))
            case "command":
                calling = self.pod.command(**COMMANDS[argument])
                self.call(self._pause(calling, argument) if argument in ("pause", "unpause") else calling)
            case "give up" if self.callers:
                self.callers.pop().cancel()
            case "stop" if self.pod.record.machine is not None:
                self.pod.keeper.request_stop(argument)
            case "terminate":
                self.pod.terminate()
            case "restart":
                await self.pod.restart()
            case "die":
                self.pod.die_at(argument[0], after_effect=argument[1])
            case _:
                self._happens(kind, argument)

    def _happens(self, kind: str, argument: Any) -> None:
        """What the hypervisor and the guest do."""
        hypervisor = self.pod.hypervisor
        match kind:
            case "refuse":
                hypervisor.refusals[argument] = "Timed out during operation"
            case "hang":
                hypervisor.hanging.add(argument)
            case "well":
                self.well()
            case "libvirtd" if hypervisor.answers:
                hypervisor.stop_libvirtd()
            case "libvirtd":
                hypervisor.start_libvirtd()
            case "hears":
                hypervisor.guest_hears_power_button = argument
            case "stall":
                hypervisor.stall_on(DiskError("vda", no_space=True))
            case "guest":
                getattr(hypervisor, argument)()

    def well(self) -> None:
        """Whatever failed leaves off."""
        self.pod.hypervisor.refusals.clear()
        self.pod.hypervisor.hanging.clear()
        if not self.pod.hypervisor.answers:
            self.pod.hypervisor.start_libvirtd()

    async def _pause(self, calling: Awaitable[Any], command: str) -> None:
        self.paused, self._pausing = None, self._pausing + 1
        try:
            await calling
            self.paused = command == "pause" if self._pausing == 1 else None
        finally:
            self._pausing -= 1

    def call(self, coroutine: Any) -> None:
        """The handler calls and gives up after a minute."""

        async def calling() -> None:
            with contextlib.suppress(RpcError, AgentUnavailable, AgentRefused, TimeoutError):
                async with asyncio.timeout(60):
                    await coroutine

        self.callers.append(asyncio.create_task(calling(), name="handler"))


COMMAND = st.tuples(st.just("command"), st.sampled_from(sorted(COMMANDS)))
TROUBLE = st.one_of(
    st.tuples(st.just("die"), st.tuples(st.integers(0, 4), st.booleans())),
    st.tuples(st.sampled_from(("refuse", "hang")), st.sampled_from(FUNCTIONS)),
    st.tuples(st.sampled_from(("libvirtd", "restart", "give up", "well")), st.none()),
)
GUEST = st.one_of(
    st.tuples(
        st.just("guest"), st.sampled_from(("start_agent", "start_agent", "stop_agent", "power_off", "kill_qemu"))
    ),
    st.tuples(st.just("hears"), st.booleans()),
    st.tuples(st.just("stall"), st.none()),
)
END = st.one_of(
    st.tuples(st.just("stop"), st.sampled_from((0.0, 7.0, 60.0))),
    st.tuples(st.just("terminate"), st.none()),
)
# Commands and trouble come most often: a guest that has ended has little left to go wrong.
STEPS = st.sampled_from((COMMAND, COMMAND, COMMAND, TROUBLE, TROUBLE, TROUBLE, GUEST, END)).flatmap(lambda steps: steps)
HISTORY = st.lists(st.tuples(STEPS, st.sampled_from((0.0, 0.0, 0.5, 3.0, 20.0))), max_size=12)
START = st.tuples(st.tuples(st.just("start"), st.booleans()), st.sampled_from((0.0, 0.5, 0.5)))
AGENT = st.just((("guest", "start_agent"), 0.5))
RESTART = (("restart", None), 0.0)
BEGUN = st.tuples(st.lists(st.tuples(TROUBLE, st.just(0.0)), max_size=1), START, st.lists(AGENT, max_size=1))


FREEZES = [(("command", verb), 0.0) for verb in ("freeze", "unfreeze", "freeze")]


@given(first=BEGUN, history=HISTORY)
@example(first=([], (("start", False), 0.5), [(("guest", "start_agent"), 0.5)]), history=[*FREEZES, *2 * [RESTART]])
@settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 500)
def test_in_the_end_nothing_is_left_to_do_and_no_guest_was_started_twice(first: Any, history: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trouble, start, agent = first
        virtual_time.run(live(Path(folder), [*trouble, start, *agent, *history]))


async def live(folder: Path, history: list[tuple[tuple[str, Any], float]]) -> None:
    pod = LauncherPod(folder)
    world = World(pod)
    try:
        for (kind, argument), pause in history:
            await world.step(kind, argument)
            await asyncio.sleep(pause)
        world.well()
        await asyncio.sleep(QUIET)
        calls = len(pod.hypervisor.calls)
        await asyncio.sleep(QUIET)
        judge(world, len(pod.hypervisor.calls) - calls)
    finally:
        for caller in world.callers:
            caller.cancel()
        await asyncio.gather(*world.callers, return_exceptions=True)
        await pod.end()


def judge(world: World, calls_while_quiet: int) -> None:
    """The promises of the launcher."""
    pod, record, hypervisor = world.pod, world.pod.record, world.pod.hypervisor
    seen = hypervisor.observe()
    event(f"{state_pb2.MachinePhase.Name(pod.state.phase)}, {seen.phase.value}")
    assert plan(record, seen, None, 0) is None, "something is left to do"
    assert hypervisor.lives <= 1, "the guest was started twice"
    expected = state(record, seen, pod.state.agent if pod.state.HasField("agent") else None)
    reported = pod.state
    assert (reported.phase, reported.end, reported.pause_reason) == (
        expected.phase,
        expected.end,
        expected.pause_reason,
    )
    if record.ended is not None:
        assert not hypervisor.has_qemu
    if hypervisor.phase is DomainPhase.RUNNING:
        assert record.running is not None and not record.pause_wanted
    if world.paused is not None and record.ended is None:
        assert record.pause_wanted is world.paused, "a pause that succeeded is forgotten"
    if pod.terminated:
        assert pod.finished.is_set()
    if hypervisor.agent is not None:
        assert not hypervisor.agent.frozen
    # What is asked of the guest's agent once a minute, and nothing else.
    assert calls_while_quiet <= 8 * QUIET / pod.settings.agent_interval
