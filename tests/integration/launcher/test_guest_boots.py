"""A machine that is sent to a launcher becomes a reachable guest; machines that cannot run are refused or reported."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kubevirt.launcher.v1 import state_pb2
from virt_core.rpc.errors import InvalidField, Refused

if TYPE_CHECKING:
    from tests.integration.launcher.pod import Pod


async def test_guest_boots_gets_its_lease_and_is_reachable(pod: Pod) -> None:
    state = await pod.start_machine(pod.machine())
    assert (state.phase, state.machine_uid) == (state_pb2.MACHINE_PHASE_RUNNING, pod.uid), pod.log
    assert re.fullmatch(r"pc-q35-\d+\.\d+", state.machine_type)
    command_line = Path(f"/proc/{pod.processes()['qemu']}/cmdline").read_bytes().split(b"\0")
    assert command_line[1:3] == [b"-name", b"guest=default_demo,debug-threads=on"]
    lease = await pod.wait_for_console(b"guest-demo: lease ", b"\n")
    assert lease == b"10.0.2.2/24 router=10.0.2.1 mtu=1450 dns=10.96.0.10\r"
    assert b"boot=" in await (await pod.connect(7777))[0].readline()
    echoed, sender = await pod.connect(7)
    sender.write(b"hello\n")
    assert await echoed.readline() == b"hello\n"


async def test_two_cards_get_leases_of_their_own(pod: Pod) -> None:
    pod.add_bridge("k6t-eth1", "10.0.3.1/24", "tap1")
    machine = pod.machine()
    second = machine.interfaces.add()
    second.CopyFrom(machine.interfaces[0])
    second.name, second.mac_address, second.tap_device, second.mtu = "second", "52:54:00:00:00:02", "tap1", 1400
    second.dhcp.bridge_device, second.dhcp.client_address = "k6t-eth1", "10.0.3.2"
    second.dhcp.router_address = ""
    second.dhcp.routes.add(destination="10.9.0.0", prefix_length=16, router="10.0.3.1")
    await pod.start_machine(machine)
    leases = {await pod.wait_for_console(b"guest-demo: lease ", b"\r\n") for _ in range(2)}
    assert leases == {
        b"10.0.2.2/24 router=10.0.2.1 mtu=1450 dns=10.96.0.10",
        b"10.0.3.2/24 router= mtu=1400 dns=10.96.0.10",
    }


async def test_what_is_typed_on_the_console_is_answered_and_all_output_is_logged(pod: Pod) -> None:
    await pod.start_machine(pod.machine())
    await pod.wait_for_console(b"guest-demo login: ", b"ready")
    await pod.type(b"echo six times seven is $((6*7))\n")
    await pod.wait_for_console(b"six times seven is 4", b"2")
    log = (pod.volumes["private"] / "virt-serial0-log").read_bytes()
    assert b"guest-demo: booted" in log


async def test_starting_again_changes_nothing_and_another_machine_is_refused(pod: Pod) -> None:
    first = await pod.start_machine(pod.machine())
    qemu = pod.processes()["qemu"]
    assert await pod.start_machine(pod.machine()) == first
    assert pod.processes()["qemu"] == qemu
    with pytest.raises(Refused) as refused:
        await pod.start_machine(pod.machine(uid="another"))
    assert (refused.value.reason, refused.value.field) == ("ANOTHER_MACHINE", "machine.uid")


async def test_invalid_machine_is_refused_by_field_and_leaves_the_launcher_free(pod: Pod) -> None:
    machine = pod.machine()
    machine.interfaces[0].tap_device = "../tap"
    with pytest.raises(InvalidField) as invalid:
        await pod.start_machine(machine)
    assert invalid.value.field == "machine.interfaces[0].tap_device"
    assert "'../tap'" in invalid.value.message
    machine = pod.machine()
    machine.clock.timezone = "Europe/Atlantis"
    with pytest.raises(InvalidField, match="Europe/Atlantis"):
        await pod.start_machine(machine)
    assert (await pod.wait_for_phase(state_pb2.MACHINE_PHASE_ABSENT)).machine_uid == ""


async def test_machine_that_cannot_start_ends_with_the_reason(pod: Pod) -> None:
    machine = pod.machine()
    machine.interfaces[0].tap_device = "nosuchtap"
    state = await pod.start_machine(machine)
    assert (state.phase, state.end) == (state_pb2.MACHINE_PHASE_ENDED, state_pb2.MACHINE_END_START_FAILED)
    assert "dev doesn't exist" in state.message, state


async def test_a_machine_type_that_qemu_does_not_know_ends_the_machine_with_those_that_it_knows(pod: Pod) -> None:
    state = await pod.start_machine(pod.machine(machine_type="pc-q35-99.0"))
    assert (state.phase, state.end) == (state_pb2.MACHINE_PHASE_ENDED, state_pb2.MACHINE_END_START_FAILED)
    known = re.fullmatch(r"machine type 'pc-q35-99\.0' is not known to QEMU (\S+) .* one of (.*)", state.message)
    assert known is not None, state
    # QEMU names a machine type after the release that brings it.
    assert known[1].startswith(known[2].split(", ")[0].removeprefix("pc-q35-") + "."), state


async def test_machine_without_anything_to_boot_runs_until_it_is_destroyed(pod: Pod) -> None:
    machine = pod.machine()
    machine.ClearField("kernel_boot")
    del machine.interfaces[:]
    assert (await pod.start_machine(machine)).phase == state_pb2.MACHINE_PHASE_RUNNING
    await pod.stop_machine(grace=0)
    assert (await pod.wait_for_phase(state_pb2.MACHINE_PHASE_ENDED)).end == state_pb2.MACHINE_END_DESTROYED
    await pod.acknowledge_end(state_pb2.MACHINE_END_DESTROYED)
    assert await pod.exit_status() == 0


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/boot/nothing", "No such file"), ("/proc/self/mem", "leads out of the image"), ("/boot", "not a regular file")],
)
async def test_kernel_that_is_not_a_file_of_the_image_is_refused(pod: Pod, path: str, reason: str) -> None:
    placed = pod.place_boot_files(path)
    assert placed.returncode == 1
    assert placed.stderr.startswith(f"boot-files: {path}: {reason}")
