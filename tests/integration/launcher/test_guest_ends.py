"""Different ends of a guest are distinguished, and a deleted pod gives its guest time to shut down."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from kubevirt.launcher.v1 import launcher_pb2, state_pb2
from virt_core.rpc.errors import Refused

if TYPE_CHECKING:
    from tests.integration.launcher.pod import Pod


async def test_sigterm_lets_the_guest_shut_down_and_ends_the_container(pod: Pod) -> None:
    await pod.start_machine(pod.machine())
    await pod.wait_for_console(b"guest-demo login: ", b"ready")
    await pod.kill("supervisor", signal.SIGTERM)
    assert (await pod.wait_for_phase(state_pb2.MACHINE_PHASE_ENDED)).end == state_pb2.MACHINE_END_SHUTDOWN
    assert await pod.exit_status() == 0
    assert b"guest-demo: power button" in (pod.volumes["private"] / "virt-serial0-log").read_bytes()


async def test_sigterm_is_not_forgotten_when_the_launcher_dies_of_something_else(pod: Pod) -> None:
    await pod.start_machine(pod.machine())
    await pod.wait_for_console(b"guest-demo login: ", b"ready")
    await pod.kill("supervisor", signal.SIGSTOP)
    await pod.kill("supervisor", signal.SIGTERM)
    await pod.kill("launcher")
    await pod.kill("supervisor", signal.SIGCONT)
    assert await pod.exit_status() == 0
    assert b"guest-demo: power button" in (pod.volumes["private"] / "virt-serial0-log").read_bytes()


async def test_guest_that_does_not_listen_is_destroyed_after_its_grace_period(pod: Pod) -> None:
    machine = pod.machine()
    machine.ClearField("kernel_boot")
    machine.shutdown_grace_period.FromSeconds(1)
    await pod.start_machine(machine)
    await pod.kill("supervisor", signal.SIGTERM)
    assert await pod.exit_status() == 0
    assert "destroying the guest" in pod.log


async def test_launcher_without_a_machine_ends_at_once(pod: Pod) -> None:
    await pod.kill("supervisor", signal.SIGTERM)
    assert await pod.exit_status() == 0


async def test_panic_is_distinguished_from_a_crash(pod: Pod) -> None:
    await pod.start_machine(pod.machine())
    await pod.wait_for_console(b"guest-demo login: ", b"ready")
    await pod.type(b"echo c > /proc/sysrq-trigger\n")
    state = await pod.wait_for_phase(state_pb2.MACHINE_PHASE_ENDED)
    assert state.end == state_pb2.MACHINE_END_PANICKED, state


async def test_a_qemu_that_dies_is_reported_with_what_it_wrote_last(pod: Pod) -> None:
    await pod.start_machine(pod.machine())
    _write_as_qemu(pod, "qemu-system-x86_64: physmem.c:2671: Assertion `section_index' failed.\n")
    await pod.kill("qemu", signal.SIGABRT)
    state = await pod.wait_for_phase(state_pb2.MACHINE_PHASE_ENDED)
    assert state.end == state_pb2.MACHINE_END_CRASHED, state
    words = "the hypervisor process died; QEMU wrote last: physmem.c:2671: Assertion `section_index' failed."
    assert state.message == words
    assert words in pod.log


def _write_as_qemu(pod: Pod, words: str) -> None:
    with Path(f"/proc/{pod.processes()['qemu']}/fd/2").open("a") as standard_error:
        standard_error.write(words)


async def test_reboot_is_no_end(pod: Pod) -> None:
    await pod.start_machine(pod.machine())
    first = await pod.wait_for_console(b"guest-demo: booted, boot=", b"\r")
    await pod.wait_for_console(b"guest-demo login: ", b"ready")
    qemu = pod.processes()["qemu"]
    await pod.type(b"reboot\n")
    second = await pod.wait_for_console(b"guest-demo: booted, boot=", b"\r")
    await pod.wait_for_console(b"guest-demo: lease ", b"\n")
    assert first != second
    assert pod.processes()["qemu"] == qemu
    assert (await pod.wait_for_phase(state_pb2.MACHINE_PHASE_RUNNING)).machine_uid == pod.uid


async def test_only_the_end_that_happened_is_acknowledged_and_a_running_guest_is_left_alone(pod: Pod) -> None:
    await pod.start_machine(pod.machine())
    await pod.wait_for_console(b"guest-demo login: ", b"ready")
    shutdown, crashed = state_pb2.MACHINE_END_SHUTDOWN, state_pb2.MACHINE_END_CRASHED
    qemu = pod.processes()["qemu"]
    with pytest.raises(Refused, match="has not ended") as refused:
        await pod.acknowledge_end(shutdown)
    assert refused.value.reason == "NOT_ENDED"
    assert pod.processes()["qemu"] == qemu
    await pod.type(b"poweroff\n")
    assert (await pod.wait_for_phase(state_pb2.MACHINE_PHASE_ENDED)).end == shutdown
    with pytest.raises(Refused, match="MACHINE_END_SHUTDOWN"):
        await pod.acknowledge_end(crashed)
    with pytest.raises(Refused, match="runs machine"):
        await pod.acknowledge_end(shutdown, uid="another")
    await pod.acknowledge_end(shutdown)
    assert await pod.exit_status() == 0


async def test_a_launcher_that_exits_ends_its_watches_instead_of_waiting_for_them(pod: Pod) -> None:
    machine = pod.machine()
    machine.ClearField("kernel_boot")
    machine.shutdown_grace_period.FromSeconds(0)
    await pod.start_machine(machine)
    watch = pod.stub.WatchMachine(launcher_pb2.WatchMachineRequest())
    await pod.kill("supervisor", signal.SIGTERM)
    async for response in watch:
        if response.state.phase == state_pb2.MACHINE_PHASE_ENDED:
            await pod.acknowledge_end(response.state.end)
    assert await watch.code() is grpc.StatusCode.OK
    assert await pod.exit_status() == 0
