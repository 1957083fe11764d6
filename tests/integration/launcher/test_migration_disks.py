"""A guest with all kinds of disks moves between two real launchers, and one that does not move stays what it was."""

from __future__ import annotations

import re

import pytest
from google.protobuf.duration_pb2 import Duration
from kubevirt.launcher.v1 import command_pb2, machine_pb2, state_pb2
from kubevirt.launcher.v1 import migration_pb2 as pb

from tests.integration.launcher.domain_events import running_times
from tests.integration.launcher.guest_shell import shell
from tests.integration.launcher.handlers import Handlers
from tests.integration.launcher.images import Images
from tests.integration.launcher.launcher_pair import MIGRATION, LauncherPair, files_below
from tests.integration.launcher.migrating_disks import DISK, MIB, VIRTIO, disks

RUNNING, PAUSED = state_pb2.MACHINE_PHASE_RUNNING, state_pb2.MACHINE_PHASE_PAUSED
COPYING, COMMITTED, ABORTED = pb.MIGRATION_PHASE_COPYING, pb.MIGRATION_PHASE_COMMITTED, pb.MIGRATION_PHASE_ABORTED


async def test_guest_finds_what_it_wrote_to_each_disk_and_runs_on_one_side(pair: LauncherPair) -> None:
    source, target = pair.sides
    machine = source.machine(disks=disks(*pair.sides), memory_bytes=192 * MIB)
    machine.kernel_boot.command_line += " ticks=off"
    machine.inputs.add(type=machine_pb2.INPUT_TYPE_TABLET, bus=machine_pb2.INPUT_BUS_USB)
    second = machine.disks.add(name="cd2", device=machine_pb2.DISK_DEVICE_CDROM, bus=machine_pb2.DISK_BUS_SCSI)
    second.cloud_init.source = machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD
    state = await source.start_machine(machine)
    assert state.phase == RUNNING, state
    await source.wait_for_console(b"guest-demo login: ", b"ready")
    for disk in (b"root", b"scratch", b"claim"):
        await source.type(b"echo of-" + disk + b" | dd of=$(find-disk " + disk + b") conv=fsync 2>/dev/null\n")
    boot = await shell(source, b"cat /proc/sys/kernel/random/boot_id")
    for victim in ("launcher", "libvirtd"):  # with which nothing of the disks is lost
        await source.kill(victim)
        await source.wait_for_phase(RUNNING)
    handlers = Handlers(MIGRATION, source, target, machine)
    prepared = await handlers.prepare()
    size = next(disk.capacity_bytes for disk in state.disks if disk.name == "seed")
    assert (target.private / "disks/seed.iso").read_bytes() == bytes(size)
    await handlers.start(prepared, auto_converge=True)
    moved = await handlers.until_phase(COMMITTED, ABORTED)
    assert moved.phase == COMMITTED, (moved, source.log[-4000:], target.log[-4000:])
    await target.wait_for_phase(RUNNING)
    ran = [running_times(pair.events[side.name].all) for side in pair.sides]
    assert [len(times) for times in ran] == [1, 1], ran
    assert ran[0][0][1] < ran[1][0][0], "both ran"
    assert await shell(target, b"cat /proc/sys/kernel/random/boot_id") == boot
    for disk in (b"root", b"scratch", b"claim"):
        await target.type(b"echo 3 >/proc/sys/vm/drop_caches\n")
        assert await shell(target, b"head -c 20 $(find-disk " + disk + b") | head -n 1") == b"of-" + disk
    for iso in ("disks/seed.iso", "disks/cd.iso"):  # copied, and made again
        assert (target.private / iso).read_bytes() == (source.private / iso).read_bytes()
    program = "import libvirt; it = libvirt.open('qemu:///session').listAllDomains()[0]; print({})"
    assert target.python(program.format("it.isPersistent()")).strip() == "1"
    xml = target.python(program.format("it.XMLDesc(0)"))
    assert xml.count("cache='writeback'") == 1 and "<input type='tablet' bus='usb'>" in xml
    assert re.findall(r"device='cdrom'>.*?<target dev='\S+' bus='(\w+)'", xml, re.DOTALL) == ["sata", "scsi"]
    assert "/proc/" not in xml
    named = re.findall(r"disks/(\S+?)'", xml)
    assert named == ["root.qcow2", "root.image", "scratch.qcow2", "seed.iso", "claim.image", "cd.iso", "cd2.iso"]


@pytest.mark.slow
async def test_paused_guest_arrives_paused_and_runs_after_unpause(pair: LauncherPair) -> None:
    source, target = pair.sides
    machine = source.machine()
    await source.start_machine(machine)
    await source.wait_for_console(b"guest-demo login: ", b"ready")
    await source.command(pause=command_pb2.Pause())
    handlers = Handlers(MIGRATION, source, target, machine)
    await handlers.start(await handlers.prepare())
    assert (await handlers.until_phase(COMMITTED, ABORTED)).phase == COMMITTED
    assert (await target.wait_for_phase(PAUSED)).pause_reason == state_pb2.PAUSE_REASON_BY_USER
    assert running_times(pair.events[target.name].all) == []
    await target.command(unpause=command_pb2.Unpause())
    await target.wait_for_phase(RUNNING)
    await target.wait_for_console(b"tick ", b"boot=")


@pytest.mark.slow
async def test_guest_of_a_block_device_moves_with_what_it_wrote(images: Images) -> None:
    pair = LauncherPair(images, images)
    source, target = pair.sides
    try:
        backing = source.folder / "backing"
        backing.write_bytes(bytes(8 * MIB))
        source.add_block_device("/dev/claim", backing)
        source.share_block_devices(target)
        await pair.bring_up()
        machine = source.machine()
        disk = machine.disks.add(name="claim", device=DISK, bus=VIRTIO, serial="claim")
        disk.block_device.path = "/dev/claim"
        await source.start_machine(machine)
        await source.wait_for_console(b"guest-demo login: ", b"ready")
        await source.type(b"echo of-claim | dd of=$(find-disk claim) conv=fsync 2>/dev/null && echo written-$((6*7))\n")
        await source.wait_for_console(b"written-", b"42")
        target.give_devices()
        handlers = Handlers(MIGRATION, source, target, machine)
        await handlers.start(await handlers.prepare())
        moved = await handlers.until_phase(COMMITTED, ABORTED)
        assert moved.phase == COMMITTED, (moved, source.qemu_log()[-1500:], target.qemu_log()[-1500:])
        await target.type(b"echo to | dd of=$(find-disk claim) seek=1 conv=fsync 2>/dev/null && echo w-$((6*7))\n")
        await target.wait_for_console(b"w-", b"42")
        content = backing.read_bytes()
        assert (content[:8], content[512:514]) == (b"of-claim", b"to")
    finally:
        await pair.remove()


@pytest.mark.slow
async def test_guest_moves_on_to_a_third_pod_at_once(pair: LauncherPair, images: Images) -> None:
    onward = pair.onward(images)
    third = onward.target
    try:
        await third.bring_up()
        await onward.join()
        machine = pair.source.machine(disks=disks(*pair.sides, third), memory_bytes=192 * MIB)
        await pair.source.start_machine(machine)
        await pair.source.wait_for_console(b"guest-demo login: ", b"ready")
        for uid, hop, network in ((MIGRATION, pair, "10.99.0."), (f"{MIGRATION[:-1]}2", onward, "10.98.0.")):
            hop.source.address, hop.target.address = f"{network}1", f"{network}2"
            handlers = Handlers(uid, hop.source, hop.target, machine)
            # The second copy is slow: what the first one leaves to do at its target falls into it. It is not encrypted.
            options = {"bandwidth_bytes_per_second": 8 * MIB, "tls": False} if hop is onward else {}
            await handlers.start(await handlers.prepare(), **options)
            moved = await handlers.until_phase(COMMITTED, ABORTED)
            assert moved.phase == COMMITTED, (moved, hop.source.log[-3000:], hop.target.log[-3000:])
            await hop.target.wait_for_phase(RUNNING)
        await third.wait_for_console(b"tick ", b"boot=")
        ran = [running_times(events.all) for events in (*pair.events.values(), onward.events[third.name])]
        assert ran[0][0][1] < ran[1][0][0] < ran[1][0][1] < ran[2][0][0], ran
    finally:
        for events in onward.events.values():
            await events.stop()
        await third.remove()


@pytest.mark.slow
async def test_guest_with_a_disk_moves_over_ipv6(images: Images) -> None:
    pair = LauncherPair(images, images, network="fd99::")
    try:
        await pair.bring_up()
        machine = pair.source.machine()
        scratch = machine.disks.add(name="scratch", device=DISK, bus=VIRTIO)
        scratch.empty_disk.capacity_bytes = 8 * MIB
        await pair.source.start_machine(machine)
        await pair.source.wait_for_console(b"guest-demo login: ", b"ready")
        handlers = Handlers(MIGRATION, pair.source, pair.target, machine)
        await handlers.start(await handlers.prepare())
        moved = await handlers.until_phase(COMMITTED, ABORTED)
        assert moved.phase == COMMITTED, moved
        await pair.target.wait_for_console(b"tick ", b"boot=")
    finally:
        await pair.remove()


@pytest.mark.slow
async def test_canceled_migration_leaves_the_guest_and_no_certificate(pair: LauncherPair) -> None:
    source, target = pair.sides
    machine = source.machine(disks=disks(*pair.sides), memory_bytes=192 * MIB)
    await source.start_machine(machine)
    await source.wait_for_console(b"guest-demo login: ", b"ready")
    handlers = Handlers(MIGRATION, source, target, machine)
    await handlers.start(await handlers.prepare(), bandwidth_bytes_per_second=4 * MIB)
    await handlers.until(lambda state: state.phase == COPYING and state.processed_bytes > 0)
    for table in ("tcp", "tcp6"):
        listening = target.run_inside("cat", f"/proc/self/net/{table}").stdout
        assert not re.search(r" 0{8,32}:(4082|C000|C001) ", listening), "ports are open on the pod's address only"
    await handlers.cancel()
    state = await handlers.until_phase(COMMITTED, ABORTED)
    assert (state.phase, state.canceled) == (ABORTED, True), state
    await source.wait_for_phase(RUNNING)
    await source.type(b"echo again | dd of=$(find-disk claim) conv=fsync 2>/dev/null && echo written-$((6*7))\n")
    await source.wait_for_console(b"written-", b"42")
    assert files_below(source.private / ".pki") == []
    await handlers.abort()
    assert await target.exit_status() == 0
    assert running_times(pair.events[target.name].all) == []


@pytest.mark.slow
async def test_cut_link_leaves_the_guest_at_the_source(pair: LauncherPair) -> None:
    source, target = pair.sides
    machine = source.machine(memory_bytes=192 * MIB)
    await source.start_machine(machine)
    await source.wait_for_console(b"guest-demo login: ", b"ready")
    handlers = Handlers(MIGRATION, source, target, machine)
    await handlers.start(await handlers.prepare(), bandwidth_bytes_per_second=4 * MIB)
    await handlers.until(lambda state: state.phase == COPYING and state.processed_bytes > 0)
    pair.cut()
    state = await handlers.until_phase(COMMITTED, ABORTED)
    assert state.phase == ABORTED, state
    await source.wait_for_phase(RUNNING)
    await source.wait_for_console(b"tick ", b"boot=")
    await handlers.abort()
    assert await target.exit_status() == 0


@pytest.mark.slow
async def test_memory_that_takes_longer_than_the_progress_timeout_after_the_disk_arrives(pair: LauncherPair) -> None:
    """libvirt copies the disk first; when memory begins, more is left than ever before."""
    source, target = pair.sides
    scratch = machine_pb2.Disk(name="scratch", device=DISK, bus=VIRTIO, serial="scratch")
    scratch.empty_disk.capacity_bytes = 48 * MIB
    machine = source.machine(disks=[scratch], memory_bytes=192 * MIB)
    machine.kernel_boot.command_line += " ticks=off"
    await source.start_machine(machine)
    await source.wait_for_console(b"guest-demo login: ", b"ready")
    fill = b"dd if=/dev/urandom of=$(find-disk scratch) bs=1M count=40 conv=fsync 2>/dev/null; echo full"
    assert await shell(source, fill) == b"full"
    handlers = Handlers(MIGRATION, source, target, machine)
    prepared = await handlers.prepare()
    await handlers.start(prepared, bandwidth_bytes_per_second=8 * MIB, progress_timeout=Duration(seconds=5))
    moved = await handlers.until_phase(COMMITTED, ABORTED)
    assert moved.phase == COMMITTED, moved.reason
    assert moved.ended.ToSeconds() - moved.started.ToSeconds() > 10
