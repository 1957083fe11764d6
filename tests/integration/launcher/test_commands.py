"""Commands reach the guest, and their effect survives crashes."""

from __future__ import annotations

import asyncio
import re
import struct
from typing import TYPE_CHECKING

import pytest
from kubevirt.launcher.v1 import command_pb2, launcher_pb2, state_pb2
from virt_core.rpc.errors import InvalidField, Refused

from tests.integration.launcher.pod import PRIVATE
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from tests.integration.launcher.pod import Pod

TICK = re.compile(rb"tick (\d+) uptime=([\d.]+) boot=(\S+)")
# Ticks come each 0.2 s; the last one may be on its way on a busy machine.
SILENCE = 4.0
PAUSED = (state_pb2.MACHINE_PHASE_PAUSED, state_pb2.PAUSE_REASON_BY_USER)


class Ticks:
    """A connection to the guest's ticks.

    Attributes:
        number: the last one read.
    """

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self.number = -1

    async def next(self) -> bytes:
        """Read the next tick; the boot that it is of."""
        async with asyncio.timeout(PATIENCE):
            found = TICK.match(await self._reader.readline())
        assert found
        self.number = int(found[1])
        return found[3]

    async def until_silence(self) -> int:
        """Read until none comes; the number of the last. Fails if they do not stop."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    async with asyncio.timeout(SILENCE):
                        await self.next()
                except TimeoutError:
                    return self.number


async def test_paused_guest_stops_and_resumes_without_a_restart(pod: Pod) -> None:
    await pod.start_machine(pod.machine())
    await pod.wait_for_console(b"guest-demo: lease ", b"\n")
    ticks = Ticks((await pod.connect(7777))[0])
    boot = await ticks.next()
    for _ in range(2):  # the second time is no different
        state = await pod.command(pause=command_pb2.Pause())
        assert (state.phase, state.pause_reason) == PAUSED
    last = await ticks.until_silence()
    for _ in range(2):
        state = await pod.command(unpause=command_pb2.Unpause())
        assert (state.phase, state.pause_reason) == (
            state_pb2.MACHINE_PHASE_RUNNING,
            state_pb2.PAUSE_REASON_UNSPECIFIED,
        )
    assert (await ticks.next(), ticks.number) == (boot, last + 1)


async def test_paused_guest_stays_paused_whatever_dies(pod: Pod) -> None:
    await pod.start_machine(pod.machine())
    await pod.wait_for_console(b"guest-demo: lease ", b"\n")
    ticks = Ticks((await pod.connect(7777))[0])
    boot = await ticks.next()
    qemu = pod.processes()["qemu"]
    since = (await pod.command(pause=command_pb2.Pause())).since
    last = await ticks.until_silence()
    for victims in [("launcher",), ("libvirtd",), ("libvirtd", "launcher"), ("launcher", "libvirtd")]:
        for victim in victims:
            await pod.kill(victim)
        state = await pod.start_machine(pod.machine())
        assert (state.phase, state.pause_reason, state.since) == (*PAUSED, since)
    assert await ticks.until_silence() == last
    assert (await pod.command(unpause=command_pb2.Unpause())).phase == state_pb2.MACHINE_PHASE_RUNNING
    assert (await ticks.next(), ticks.number) == (boot, last + 1)
    assert pod.processes()["qemu"] == qemu


async def test_machine_that_starts_paused_runs_after_unpause(pod: Pod) -> None:
    state = await pod.start_machine(pod.machine(start_paused=True))
    assert (state.phase, state.pause_reason) == PAUSED
    for victim in ("launcher", "libvirtd"):
        await pod.kill(victim)
        state = await pod.wait_for_phase(state_pb2.MACHINE_PHASE_PAUSED)
        assert state.pause_reason == state_pb2.PAUSE_REASON_BY_USER
    assert not (pod.volumes["private"] / "virt-serial0-log").read_bytes(), "the guest has not run"
    assert (await pod.command(unpause=command_pb2.Unpause())).phase == state_pb2.MACHINE_PHASE_RUNNING
    await pod.wait_for_console(b"guest-demo: booted,", b"\n")
    await pod.kill("launcher")
    await pod.wait_for_phase(state_pb2.MACHINE_PHASE_RUNNING)


@pytest.mark.parametrize("command", [{"reset": command_pb2.Reset()}, {"soft_reboot": command_pb2.SoftReboot()}])
async def test_reset_and_reboot_are_no_end(pod: Pod, command: dict[str, object]) -> None:
    """Without an agent a reboot is requested by ACPI."""
    since = (await pod.start_machine(pod.machine())).since
    first = await pod.wait_for_console(b"guest-demo: booted, boot=", b"\r")
    await pod.wait_for_console(b"guest-demo login: ", b"ready")
    qemu = pod.processes()["qemu"]
    assert (await pod.command(**command)).phase == state_pb2.MACHINE_PHASE_RUNNING
    assert await pod.wait_for_console(b"guest-demo: booted, boot=", b"\r") != first
    log = (pod.volumes["private"] / "virt-serial0-log").read_bytes()
    assert (b"guest-demo: power button" in log) == ("soft_reboot" in command)
    assert pod.processes()["qemu"] == qemu
    state = await pod.wait_for_phase(state_pb2.MACHINE_PHASE_RUNNING)
    assert state.since == since, "the machine is the same"


async def test_commands_are_refused_by_reason(pod: Pod) -> None:
    async def reason(**command: object) -> str:
        with pytest.raises(Refused) as refused:
            await pod.command(**command)
        return refused.value.reason

    assert await reason(pause=command_pb2.Pause()) == "NO_MACHINE"
    machine = pod.machine()
    machine.ClearField("kernel_boot")
    await pod.start_machine(machine)
    assert await reason(freeze=command_pb2.Freeze()) == "NO_GUEST_AGENT"
    assert await reason(unfreeze=command_pb2.Unfreeze()) == "NO_GUEST_AGENT"
    with pytest.raises(Refused) as refused:
        await pod.peer.call(
            pod.stub.GetGuestDetails, launcher_pb2.GetGuestDetailsRequest(machine_uid=pod.uid), timeout=PATIENCE
        )
    assert refused.value.reason == "NO_GUEST_AGENT"
    with pytest.raises(Refused) as refused:
        await screenshot(pod)
    assert refused.value.reason == "NO_DISPLAY"
    with pytest.raises(InvalidField):
        await pod.command()
    await pod.command(pause=command_pb2.Pause())
    assert await reason(soft_reboot=command_pb2.SoftReboot()) == "PAUSED"
    await pod.stop_machine(grace=0)
    await pod.wait_for_phase(state_pb2.MACHINE_PHASE_ENDED)
    assert await reason(unpause=command_pb2.Unpause()) == "NOT_RUNNING"


async def test_paused_guest_can_be_stopped(pod: Pod) -> None:
    await pod.start_machine(pod.machine())
    await pod.command(pause=command_pb2.Pause())
    await pod.stop_machine(grace=30)
    assert (await pod.wait_for_phase(state_pb2.MACHINE_PHASE_ENDED)).end == state_pb2.MACHINE_END_DESTROYED


async def screenshot(pod: Pod) -> bytes:
    """TakeScreenshot as the handler calls it."""
    request = launcher_pb2.TakeScreenshotRequest(machine_uid=pod.uid)
    response: launcher_pb2.TakeScreenshotResponse = await pod.peer.call(
        pod.stub.TakeScreenshot, request, timeout=PATIENCE
    )
    return response.png


async def test_screenshot_is_a_picture_of_the_display(pod: Pod) -> None:
    machine = pod.machine()
    machine.display.socket_path = f"{PRIVATE}/virt-vnc"
    await pod.start_machine(machine)
    await pod.wait_for_console(b"guest-demo login: ", b"ready")
    for _ in range(2):
        png = await screenshot(pod)
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", png[16:24])
        assert 640 <= width <= 1280
        assert 350 <= height <= 1024
        assert png.endswith(b"IEND\xaeB`\x82")
    assert not (pod.volumes["private"] / "screenshot.png").exists()
    assert (pod.volumes["private"] / "virt-vnc").is_socket()
