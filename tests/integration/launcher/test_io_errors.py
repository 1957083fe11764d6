"""A guest that QEMU stopped because of an I/O error is distinguished from a paused one, and resumes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from kubevirt.launcher.v1 import command_pb2, machine_pb2, state_pb2

from tests.integration.launcher.commands import discard, run
from tests.integration.launcher.images import Images
from tests.integration.launcher.pod import PRIVATE, Pod

NO_SPACE = "disk d: there is no space left where it is stored"
STALLED = (state_pb2.MACHINE_PHASE_PAUSED, state_pb2.PAUSE_REASON_IO_ERROR)


@pytest.fixture
async def small(images: Images) -> AsyncIterator[Pod]:
    """A pod with a file system of 2 MiB in its private folder, where the launcher makes disks."""
    made = Pod(images)
    folder = made.volumes["private"] / "disks"
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=2m,mode=777", "tmpfs", str(folder))
    try:
        await made.bring_up()
        yield made
    finally:
        await made.end()
        discard("umount", str(folder))
        await made.remove()


async def test_guest_on_a_full_file_system_is_stopped_until_there_is_space(small: Pod) -> None:
    machine = small.machine()
    disk = small.volumes["private"] / "disks" / "disk.img"
    disk.touch()
    os.truncate(disk, 8 << 20)
    disk.chmod(0o666)
    source = machine_pb2.ImageFile(path=f"{PRIVATE}/disks/disk.img")
    machine.disks.add(
        name="d",
        device=machine_pb2.DISK_DEVICE_DISK,
        bus=machine_pb2.DISK_BUS_VIRTIO,
        error_policy=machine_pb2.DISK_ERROR_POLICY_STOP,
        image_file=source,
    )
    state = await small.start_machine(machine)
    assert state.phase == state_pb2.MACHINE_PHASE_RUNNING, state
    await small.wait_for_console(b"guest-demo login: ", b"ready")
    await small.type(b"dd if=/dev/zero of=/dev/vda bs=64k count=64 conv=fsync && echo wri''tten\n")
    state = await small.wait_for_state(lambda state: state.phase == state_pb2.MACHINE_PHASE_PAUSED)
    assert (state.phase, state.pause_reason) == STALLED
    assert state.message == NO_SPACE
    for victims in (("libvirtd", "launcher"), ("launcher",)):
        for victim in victims:
            await small.kill(victim)
        state = await small.wait_for_state(lambda state: state.phase == state_pb2.MACHINE_PHASE_PAUSED)
        assert (state.pause_reason, state.message) == (state_pb2.PAUSE_REASON_IO_ERROR, NO_SPACE), (
            "nobody has paused it"
        )
    await asyncio.to_thread(run, "mount", "-o", "remount,size=16m", str(small.volumes["private"] / "disks"))
    assert (await small.command(unpause=command_pb2.Unpause())).phase == state_pb2.MACHINE_PHASE_RUNNING
    await small.wait_for_console(b"written", b"\n")
    await small.wait_for_state(lambda state: state.phase == state_pb2.MACHINE_PHASE_RUNNING)


async def test_guest_whose_empty_disk_outgrows_the_node_pauses_until_there_is_room(small: Pod) -> None:
    machine = small.machine()
    machine.disks.add(
        name="d",
        device=machine_pb2.DISK_DEVICE_DISK,
        bus=machine_pb2.DISK_BUS_VIRTIO,
        empty_disk=machine_pb2.EmptyDisk(capacity_bytes=500 << 30),
    )
    state = await small.start_machine(machine)
    assert [disk.capacity_bytes for disk in state.disks] == [500 << 30], state
    await small.wait_for_console(b"guest-demo login: ", b"ready")
    await small.type(b"dd if=/dev/zero of=/dev/vda bs=64k count=64 conv=fsync && echo wri''tten\n")
    state = await small.wait_for_state(lambda state: state.phase == state_pb2.MACHINE_PHASE_PAUSED)
    assert (state.pause_reason, state.message) == (state_pb2.PAUSE_REASON_IO_ERROR, NO_SPACE)
    await asyncio.to_thread(run, "mount", "-o", "remount,size=16m", str(small.volumes["private"] / "disks"))
    assert (await small.command(unpause=command_pb2.Unpause())).phase == state_pb2.MACHINE_PHASE_RUNNING
    await small.wait_for_console(b"written", b"\n")
