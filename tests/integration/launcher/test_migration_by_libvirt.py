"""A guest moves between two real launcher pods by libvirt: disks' paths, certificates and listeners of both sides hold.

What the launchers do by themselves is tested elsewhere; here their Python is stopped where it would interfere.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncIterator

import pytest
from kubevirt.launcher.v1 import machine_pb2, state_pb2

from tests.integration.launcher.container_disks import VOLUMES, give_to_the_pod
from tests.integration.launcher.domain_events import running_times
from tests.integration.launcher.images import Images
from tests.integration.launcher.launcher_pair import LauncherPair, files_below

MIB = 1 << 20
DISK, VIRTIO = machine_pb2.DISK_DEVICE_DISK, machine_pb2.DISK_BUS_VIRTIO


@pytest.fixture
async def pair(images: Images) -> AsyncIterator[LauncherPair]:
    """Two pods whose launchers have no machine yet."""
    made = LauncherPair(images, images)
    try:
        await made.bring_up()
        yield made
    finally:
        await made.remove()


def disks(pair: LauncherPair) -> list[machine_pb2.Disk]:
    """One of each kind that a migration treats in its own way; what they need is in both pods."""
    content = os.urandom(MIB)
    for side in pair.sides:
        folder = side.image("root") / "disk"
        folder.mkdir()
        (folder / "only.img").write_bytes(content)
        (folder / "only.img").chmod(0o644)
        side.start_sidecar("root", side.image("root"))
    claim = pair.source.volume("claim")
    (claim / "disk.img").write_bytes(content)
    give_to_the_pod(claim)
    # Shared by both nodes: the same file.
    shared = pair.target.volumes["volumes"] / "claim"
    shared.mkdir()
    os.link(claim / "disk.img", shared / "disk.img")
    give_to_the_pod(shared)
    made = [
        pair.source.container_disk(serial="root"),
        machine_pb2.Disk(name="scratch", device=DISK, bus=VIRTIO, serial="scratch"),
        machine_pb2.Disk(name="seed", device=DISK, bus=VIRTIO, serial="seed"),
        machine_pb2.Disk(name="claim", device=DISK, bus=VIRTIO, serial="claim"),
        machine_pb2.Disk(name="cd", device=machine_pb2.DISK_DEVICE_CDROM, bus=machine_pb2.DISK_BUS_SATA),
    ]
    made[1].empty_disk.capacity_bytes = 8 * MIB
    made[2].cloud_init.source = machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD
    made[2].cloud_init.user_data = b"#cloud-config\n# of the seed\n"
    made[3].image_file.path = f"{VOLUMES}/claim/disk.img"
    made[4].cloud_init.source = machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD
    return made


def suspend_python(pair: LauncherPair) -> None:
    """Stop both launchers: without a contract for it they would take the move for a crash."""
    for side in pair.sides:
        os.kill(side.processes()["launcher"], signal.SIGSTOP)


async def shell(side: object, line: bytes) -> bytes:
    """The output of a command in the guest."""
    await side.type(line + b" | sed 's/^/=&/;$s/$/=/'\n")  # type: ignore[attr-defined]
    return await side.wait_for_console(b"\n=", b"=")  # type: ignore[attr-defined,no-any-return]


async def test_guest_with_all_kinds_of_disks_moves_and_runs_on_one_side_at_a_time(pair: LauncherPair) -> None:
    source, target = pair.sides
    machine = source.machine(disks=disks(pair), memory_bytes=192 * MIB)
    machine.kernel_boot.command_line += " ticks=off"
    state = await source.start_machine(machine)
    assert state.phase == state_pb2.MACHINE_PHASE_RUNNING, state
    await source.wait_for_console(b"guest-demo login: ", b"ready")
    for disk in (b"root", b"scratch", b"claim"):
        await source.type(b"echo of-" + disk + b" | dd of=$(find-disk " + disk + b") conv=fsync 2>/dev/null\n")
    boot = await shell(source, b"cat /proc/sys/kernel/random/boot_id")
    for victim in ("launcher", "libvirtd"):  # with which nothing of the disks is lost
        await source.kill(victim)
        await source.wait_for_phase(state_pb2.MACHINE_PHASE_RUNNING)
    sizes = {disk.name: disk.capacity_bytes for disk in state.disks}
    copied = {name: sizes[name] for name in ("root", "scratch", "seed")}
    pair.introduce()
    target.listen()
    async with target.prepared(machine, copied):
        assert (target.private / "disks/seed.iso").read_bytes() == bytes(sizes["seed"])
        suspend_python(pair)
        await pair.copy(["vda", "vdb", "vdc"])
    source_events, target_events = (pair.events[side.name] for side in pair.sides)
    await source_events.wait_for("stopped")
    await target_events.wait_for("resumed")
    ran = running_times(source_events.all), running_times(target_events.all)
    assert len(ran[0]) == len(ran[1]) == 1, (source_events.all, target_events.all)
    assert ran[0][0][1] < ran[1][0][0], "both ran"
    assert await shell(target, b"cat /proc/sys/kernel/random/boot_id") == boot
    for disk in (b"root", b"scratch", b"claim"):
        await target.type(b"echo 3 >/proc/sys/vm/drop_caches\n")
        assert await shell(target, b"head -c 20 $(find-disk " + disk + b") | head -n 1") == b"of-" + disk
    assert (target.private / "disks/seed.iso").read_bytes() == (source.private / "disks/seed.iso").read_bytes()
    xml = target.python("import libvirt; print(libvirt.open('qemu:///session').listAllDomains()[0].XMLDesc(0))")
    assert "/proc/" not in xml
    named = re.findall(r"disks/(\S+?)'", xml)
    assert named == ["root.qcow2", "root.image", "scratch.qcow2", "seed.iso", "claim.image", "cd.iso"]


async def test_nothing_of_a_migration_stays_and_a_running_guest_does_not_notice(pair: LauncherPair) -> None:
    target = pair.target
    await target.start_machine(target.machine())
    await target.wait_for_console(b"guest-demo login: ", b"ready")
    qemu = target.processes()["qemu"]
    pair.introduce()
    took = target.listen()
    listeners = target.run_inside("cat", "/proc/self/net/tcp").stdout
    assert "0200630A:4082" in listeners, "10.99.0.2:16514"
    assert "00000000:4082" not in listeners
    took_back = target.stop_listening()
    for side in pair.sides:
        side.forget()
        assert files_below(side.private / ".pki") == []
    assert ":4082" not in target.run_inside("cat", "/proc/self/net/tcp").stdout
    assert not (target.private / "config/libvirt/migration-address").exists()
    await target.wait_for_phase(state_pb2.MACHINE_PHASE_RUNNING)
    assert target.processes()["qemu"] == qemu
    print(f"restarts of libvirtd: {took:.2f} s, {took_back:.2f} s")


async def test_stranger_is_refused_by_the_target(pair: LauncherPair) -> None:
    """The source without the target's trust, and with an authority that the target does not know."""
    source, target = pair.sides
    own, authority = target.make_identity(), source.make_identity()
    target.trust(authority)
    target.listen()
    opening = "import libvirt, sys; libvirt.open(f'qemu+tls://{sys.argv[1]}/session').getHostname()"
    command = ("/opt/kubevirt/bin/python", "-I", "-c", opening, target.address)
    assert source.run_inside(*command).returncode, "the source does not trust the target"
    source.trust(own)
    assert source.run_inside(*command).returncode == 0
    source.forget()
    source.make_identity()
    source.trust(own)
    refused = source.run_inside(*command)
    assert refused.returncode
    assert "libvirtError" in refused.stderr
