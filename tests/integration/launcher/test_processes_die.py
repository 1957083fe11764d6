"""Restarts do not disturb the guest: launcher and libvirtd are killed from outside under a ticking guest."""

from __future__ import annotations

import asyncio
import re
import signal
from time import time
from typing import TYPE_CHECKING

import pytest
from kubevirt.launcher.v1 import launcher_pb2, state_pb2

from tests.support.patience import PATIENCE
from tests.support.processor_waits import ProcessorWaits, sampled

if TYPE_CHECKING:
    from tests.integration.launcher.pod import Pod

TICK = re.compile(rb"tick (\d+) uptime=([\d.]+) boot=(\S+)")
LONGEST_GAP = 2.0


class Ticks:
    """One TCP connection to the guest, held open; checks each line against the one before."""

    def __init__(self, reader: asyncio.StreamReader, qemu: int, waits: ProcessorWaits) -> None:
        self._reader, self._qemu, self._waits = reader, qemu, waits
        self._last: tuple[int, float, bytes] | None = None
        self._arrived = 0.0
        self.count = 0

    async def run(self) -> None:
        while True:
            async with asyncio.timeout(PATIENCE):
                line = await self._reader.readline()
            found = TICK.match(line)
            assert found, line
            tick = (int(found[1]), float(found[2]), found[3])
            if self._last is not None:
                assert tick[0] == self._last[0] + 1
                assert self._undisturbed(tick[1] - self._last[1]) < LONGEST_GAP
                assert tick[2] == self._last[2]
            self._last, self._arrived = tick, time()
            self.count += 1

    def _undisturbed(self, gap: float) -> float:
        """The seconds without those in which QEMU waited for a processor. This process may have read the tick before
        later than it came."""
        if gap < LONGEST_GAP:
            return gap
        self._waits.sample([self._qemu])
        now = time()
        return gap - self._waits.between([self._qemu], min(self._arrived, now - gap), now)


async def test_killing_launcher_and_libvirtd_leaves_the_guest_alone(pod: Pod) -> None:
    await pod.start_machine(pod.machine())
    await pod.wait_for_console(b"guest-demo: lease ", b"\n")
    qemu = pod.processes()["qemu"]
    reader, _ = await pod.connect(7777)
    with sampled([qemu]) as waits:
        ticks = Ticks(reader, qemu, waits)
        await _die_one_after_the_other(pod, qemu, ticks)
    assert ticks.count > 10


async def _die_one_after_the_other(pod: Pod, qemu: int, ticks: Ticks) -> None:
    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(ticks.run(), name="ticks")
        since = (await pod.wait_for_phase(state_pb2.MACHINE_PHASE_RUNNING)).since
        for victims in [("launcher",), ("libvirtd",), ("libvirtd", "launcher"), ("launcher", "libvirtd")] * 2:
            for victim in victims:
                await pod.kill(victim)
            state = await pod.wait_for_phase(state_pb2.MACHINE_PHASE_RUNNING)
            assert state.since == since, "an old guest is not a new one"
            assert (await pod.start_machine(pod.machine())).phase == state_pb2.MACHINE_PHASE_RUNNING
            assert pod.processes()["qemu"] == qemu
        await pod.kill("launcher")
        await pod.type(b"\n")
        await pod.wait_for_console(b"guest-demo login: ", b"ready")  # the serial socket does not depend on them
        ticking.cancel()


async def test_hiccup_of_libvirtd_is_not_reported(pod: Pod) -> None:
    await pod.start_machine(pod.machine())
    call = pod.stub.WatchMachine(launcher_pb2.WatchMachineRequest())
    first = await call.read()
    await pod.kill("libvirtd")
    await pod.stop_machine(grace=0)  # served although libvirtd is away; done when it is back
    states = [(await call.read()).state]
    assert first.state.phase == state_pb2.MACHINE_PHASE_RUNNING
    assert [(state.phase, state.end) for state in states] == [
        (state_pb2.MACHINE_PHASE_ENDED, state_pb2.MACHINE_END_DESTROYED)
    ]
    call.cancel()


async def test_long_silence_of_libvirtd_is_reported_as_unknown_and_causes_no_action(pod: Pod) -> None:
    await pod.start_machine(pod.machine())
    qemu = pod.processes()["qemu"]
    await pod.kill("supervisor", signal.SIGSTOP)
    await pod.kill("libvirtd")
    assert (await pod.wait_for_phase(state_pb2.MACHINE_PHASE_UNKNOWN)).machine_uid == pod.uid
    await pod.kill("supervisor", signal.SIGCONT)
    await pod.wait_for_phase(state_pb2.MACHINE_PHASE_RUNNING)
    assert pod.processes()["qemu"] == qemu


@pytest.mark.parametrize("victim", ["launcher", "libvirtd"])
async def test_machine_whose_start_is_interrupted_is_started_once(pod: Pod, victim: str) -> None:
    starting = asyncio.create_task(
        pod.stub.StartMachine(launcher_pb2.StartMachineRequest(machine=pod.machine())).code()
    )
    await pod.appears(pod.volumes["private"] / "machine.binpb")
    await pod.kill(victim)
    await starting
    await pod.wait_for_phase(state_pb2.MACHINE_PHASE_RUNNING)
    assert b"boot=" in await pod.wait_for_console(b"guest-demo: booted,", b"\n")
    assert pod.log.count("starting the guest's CPUs") == 1


async def test_end_during_an_absence_of_the_launcher_is_reported(pod: Pod) -> None:
    """The guest powers itself off while launcher and libvirtd are dead and the supervisor is stopped."""
    await pod.start_machine(pod.machine())
    await pod.wait_for_console(b"guest-demo login: ", b"ready")
    await pod.kill("supervisor", signal.SIGSTOP)
    await pod.kill("launcher")
    await pod.kill("libvirtd")
    await pod.type(b"poweroff\n")
    await pod.wait_for_console(b"Power", b"down")
    await pod.kill("supervisor", signal.SIGCONT)
    state = await pod.wait_for_phase(state_pb2.MACHINE_PHASE_ENDED)
    assert state.end == state_pb2.MACHINE_END_SHUTDOWN, state


async def test_killed_hypervisor_is_a_crash_and_never_starts_again(pod: Pod) -> None:
    await pod.start_machine(pod.machine())
    await pod.kill("supervisor", signal.SIGSTOP)
    await pod.kill("libvirtd")
    await pod.kill("qemu")
    await pod.kill("supervisor", signal.SIGCONT)
    assert (await pod.wait_for_phase(state_pb2.MACHINE_PHASE_ENDED)).end == state_pb2.MACHINE_END_CRASHED
    for _ in range(2):
        await pod.kill("launcher")
        assert (await pod.wait_for_phase(state_pb2.MACHINE_PHASE_ENDED)).end == state_pb2.MACHINE_END_CRASHED
        assert (await pod.start_machine(pod.machine())).end == state_pb2.MACHINE_END_CRASHED
    assert "qemu" not in pod.processes()
