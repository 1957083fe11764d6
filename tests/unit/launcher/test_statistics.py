"""What a guest uses: libvirt's numbers by the contract's names, and a libvirtd that does not answer."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any

import pytest
from kubevirt.launcher.v1 import machine_pb2, statistics_pb2
from virt_core.rpc.errors import Refused, Unavailable
from virt_launcher.domain.guest import read_statistics
from virt_launcher.domain.host import InCall
from virt_launcher.domain.statistics import machine_statistics

from tests.unit.launcher.launcher_pod import LauncherPod

FILESYSTEMS = [{"name": "vda1", "mountpoint": "/", "type": "ext4", "used-bytes": 7, "total-bytes": 9}]
BALLOON = {"maximum": 4, "current": 3, "rss": 2, "available": 9, "usable": 8, "major_fault": 5}
NET = {"name": "tap0", "rx.bytes": 1, "rx.pkts": 2, "rx.errs": 3, "rx.drop": 4, "tx.bytes": 5}
BLOCK = {"name": "vda", "rd.reqs": 1, "rd.bytes": 2, "rd.times": 3, "wr.reqs": 4, "fl.times": 6}
FOUND = {
    "cpu.time": 10,
    "vcpu.maximum": 3,
    "vcpu.0.state": 1,
    "vcpu.0.time": 5,
    "vcpu.2.state": 9,
    "net.count": 2,
    "net.1.name": "tap9",
    "block.count": 2,
    "block.1.name": "vdb",
    **{f"balloon.{name}": value for name, value in BALLOON.items()},
    **{f"net.0.{name}": value for name, value in NET.items()},
    **{f"block.0.{name}": value for name, value in BLOCK.items()},
}
MACHINE = machine_pb2.Machine(
    disks=[machine_pb2.Disk(name="root")],
    interfaces=[machine_pb2.NetworkInterface(name="default", tap_device="tap0")],
)


class VanishingDomain:
    """libvirt's connection; its domain is gone when its numbers are asked for."""

    def listAllDomains(self, flags: int) -> list[object]:  # noqa: N802 - libvirt's name
        return [object()]

    def domainListGetStats(self, *_: Any) -> list[Any]:  # noqa: N802 - libvirt's name
        return []


def test_a_domain_that_is_gone_meanwhile_has_no_numbers() -> None:
    assert read_statistics(VanishingDomain(), nullcontext()) == {}


def test_numbers_have_the_names_of_the_virtual_machine_instance_and_its_units() -> None:
    made = machine_statistics(FOUND, MACHINE, ["vda"])
    assert made.cpu_nanoseconds == 10 and not made.HasField("cpu_user_nanoseconds")
    assert [(vcpu.id, vcpu.state, vcpu.nanoseconds) for vcpu in made.vcpus] == [
        (0, statistics_pb2.VCPU_STATE_RUNNING, 5),
        (2, statistics_pb2.VCPU_STATE_UNSPECIFIED, 0),
    ]
    memory = made.memory
    assert (memory.domain_bytes, memory.actual_balloon_bytes, memory.resident_bytes) == (4096, 3072, 2048)
    assert (memory.available_bytes, memory.usable_bytes, memory.major_faults) == (9216, 8192, 5)
    assert not memory.HasField("unused_bytes"), "the guest does not report it"
    (interface,) = made.interfaces
    received, transmitted = interface.received, interface.transmitted
    assert (interface.name, received.bytes, received.packets, received.errors, received.dropped) == (
        "default",
        1,
        2,
        3,
        4,
    )
    assert transmitted.bytes == 5 and not transmitted.HasField("packets")
    (disk,) = made.disks
    assert (disk.name, disk.reads.requests, disk.reads.bytes, disk.reads.nanoseconds) == ("root", 1, 2, 3)
    assert (disk.writes.requests, disk.flushes.nanoseconds) == (4, 6) and not disk.flushes.HasField("bytes")


@pytest.mark.parametrize("value", [-1, 1 << 64, "many", None])
def test_what_does_not_fit_into_the_contract_is_left_out(value: object) -> None:
    assert not machine_statistics({"cpu.time": value}, machine_pb2.Machine(), []).HasField("cpu_nanoseconds")


async def test_a_running_guest_is_measured_and_no_other(pod: LauncherPod) -> None:
    with pytest.raises(Refused):
        await pod.measure()
    await pod.start_machine()
    found = await pod.measure()
    assert found.cpu_nanoseconds == 9_000_000_000 and found.memory.domain_bytes == 128 << 20
    assert not found.filesystems


async def test_file_systems_are_asked_for_once_somebody_measures_and_forgotten_with_the_agent(pod: LauncherPod) -> None:
    await pod.start_machine()
    agent = pod.hypervisor.start_agent()
    agent.answers["guest-get-fsinfo"] = FILESYSTEMS
    await asyncio.sleep(2 * pod.settings.agent_interval)
    assert "guest-get-fsinfo" not in agent.commands, "nobody measures"
    assert not (await pod.measure()).filesystems, "nobody waits for the agent"
    await asyncio.sleep(1)
    (found,) = (await pod.measure()).filesystems
    assert (found.mount_point, found.used_bytes, found.total_bytes) == ("/", 7, 9)
    agent.hangs = True
    await asyncio.sleep(2 * pod.settings.agent_interval)
    assert (await pod.measure()).filesystems, "the last ones"
    pod.hypervisor.stop_agent()
    await asyncio.sleep(1)
    assert not (await pod.measure()).filesystems


async def test_a_libvirtd_that_hangs_is_given_up_and_everything_else_goes_on(pod: LauncherPod) -> None:
    await pod.start_machine()
    pod.hypervisor.hanging.add("read_statistics")
    asking = asyncio.create_task(pod.measure())
    await asyncio.sleep(1)
    with pytest.raises(Unavailable, match="has not answered the last question"):
        await pod.measure()
    with pytest.raises(Unavailable, match="longer than 2 s"):
        await asking
    pod.hypervisor.hanging.clear()
    assert (await pod.measure()).cpu_nanoseconds


def test_a_call_is_busy_until_its_thread_is_back() -> None:
    call = InCall()
    with pytest.raises(RuntimeError), call:
        assert call.busy
        raise RuntimeError
    assert not call.busy
