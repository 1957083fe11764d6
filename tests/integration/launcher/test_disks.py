"""Disks from the contract to a booted guest, and images that are refused, each with its own reason."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from kubevirt.launcher.v1 import launcher_pb2, machine_pb2, state_pb2

from tests.integration.launcher.boot_sector import bootable, was_written
from tests.integration.launcher.container_disks import VOLUMES, PodWithDisks, give_to_the_pod, qemu_img
from tests.integration.launcher.images import Images
from tests.integration.launcher.waiting import changes_until
from tests.support.patience import PATIENCE

GIB = 1 << 30


@pytest.fixture
async def pod(images: Images) -> AsyncIterator[PodWithDisks]:
    """A pod whose launcher runs beside a pause process and has no machine yet."""
    made = PodWithDisks(images)
    try:
        made.make_network()
        made.share_processes()
        await made.start()
        await made.peer.negotiate(timeout=PATIENCE)
        yield made
    finally:
        await made.remove()


def _image(pod: PodWithDisks, *, qcow2: bool = False, text: str = "booted from the image\r\n", name: str = "") -> Path:
    """A user's image with one disk that boots."""
    folder = pod.image("root") / "disk"
    folder.mkdir(exist_ok=True)
    disk = folder / (name or "only.img")
    disk.write_bytes(bootable(text))
    if qcow2:
        raw = disk.rename(pod.folder / "raw")
        qemu_img("convert", "-O", "qcow2", str(raw), str(disk))
        raw.unlink()
    disk.chmod(0o644)
    return disk


@pytest.mark.parametrize("qcow2", [False, True])
async def test_guest_boots_from_a_container_disk_which_stays_as_it_is(pod: PodWithDisks, qcow2: bool) -> None:
    image = _image(pod, qcow2=qcow2)
    before = image.read_bytes()
    pod.start_sidecar("root", pod.image("root"))
    state = await pod.start_machine(pod.diskful(pod.container_disk()))
    assert state.phase == state_pb2.MACHINE_PHASE_RUNNING, state
    assert list(state.disks) == [state_pb2.DiskState(name="root", target="vda", capacity_bytes=1 << 20)]
    await pod.wait_for_console(b"booted from the ", b"image")
    assert image.read_bytes() == before
    # The overlay alone, while QEMU holds it: what it lies upon is named by the launcher.
    written = qemu_img("map", "-U", "--output=json", f"json:{_overlay(pod.private / 'disks/root.qcow2')}")
    assert '"data": true' in written


def _overlay(path: Path) -> str:
    return f'{{"driver":"qcow2","backing":null,"file":{{"driver":"file","filename":"{path}"}}}}'


@pytest.mark.parametrize("qcow2", [False, True])
async def test_an_image_larger_than_what_is_free_on_the_node_boots(pod: PodWithDisks, qcow2: bool) -> None:
    room = os.statvfs(pod.private)
    size = max(100 * GIB, room.f_blocks * room.f_frsize)
    image = _image(pod, qcow2=qcow2)
    if qcow2:
        qemu_img("resize", "-q", str(image), str(size))
    else:
        os.truncate(image, size)
    pod.start_sidecar("root", pod.image("root"))
    state = await pod.start_machine(pod.diskful(pod.container_disk()))
    assert [disk.capacity_bytes for disk in state.disks] == [size], state
    await pod.wait_for_console(b"booted from the ", b"image")


async def test_guest_of_a_claim_finds_what_it_wrote(pod: PodWithDisks) -> None:
    claim = pod.volume("claim")
    (claim / "disk.img").write_bytes(bootable("booted from the claim\r\n"))
    give_to_the_pod(claim)
    disk = machine_pb2.Disk(name="claim", device=machine_pb2.DISK_DEVICE_DISK, bus=machine_pb2.DISK_BUS_SATA)
    disk.image_file.path = f"{VOLUMES}/claim/disk.img"
    state = await pod.start_machine(pod.diskful(disk))
    assert [(disk.name, disk.target) for disk in state.disks] == [("claim", "sda")], state
    await pod.wait_for_console(b"booted from the ", b"claim")
    await pod.stop_machine(grace=0)
    await pod.wait_for_phase(state_pb2.MACHINE_PHASE_ENDED)
    assert was_written((claim / "disk.img").read_bytes())


async def test_a_claim_that_another_guest_writes_is_reported_by_the_name_of_the_disk(pod: PodWithDisks) -> None:
    claim = pod.volume("claim")
    image = claim / "disk.img"
    image.write_bytes(bootable("booted from the claim\r\n"))
    give_to_the_pod(claim)
    disk = machine_pb2.Disk(name="claim", device=machine_pb2.DISK_DEVICE_DISK, bus=machine_pb2.DISK_BUS_SATA)
    disk.image_file.path = f"{VOLUMES}/claim/disk.img"
    with image.open("rb") as held:
        # block/file-posix.c of QEMU: who has byte 201 locked, shares writing with nobody.
        lock = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 201, 1, 0)
        fcntl.fcntl(held, fcntl.F_OFD_SETLK, lock)
        state = await pod.start_machine(pod.diskful(disk))
    assert (state.end, state.failed_disk) == (state_pb2.MACHINE_END_START_FAILED, "claim"), state
    assert state.message == ('disk claim: another virtual machine or process uses its image (QEMU\'s "write" lock)')


async def test_killing_sidecar_libvirtd_and_launcher_leaves_the_guest_its_disk(pod: PodWithDisks) -> None:
    _image(pod)
    pid = pod.start_sidecar("root", pod.image("root"))
    await pod.start_machine(pod.diskful(pod.container_disk()))
    await pod.wait_for_console(b"booted from the ", b"image")
    qemu = pod.processes()["qemu"]
    os.kill(pid, 9)
    for victim in ("libvirtd", "launcher", "libvirtd"):
        await pod.kill(victim)
        state = await pod.wait_for_phase(state_pb2.MACHINE_PHASE_RUNNING)
    assert pod.processes()["qemu"] == qemu
    assert [disk.target for disk in state.disks] == ["vda"]


async def test_sidecar_that_is_late_is_waited_for(pod: PodWithDisks) -> None:
    _image(pod)
    request = launcher_pb2.StartMachineRequest(machine=pod.diskful(pod.container_disk()))
    answer = await pod.stub.StartMachine(request)
    assert answer.state.phase == state_pb2.MACHINE_PHASE_STARTING, "its image may take minutes to be pulled"
    pod.start_sidecar("root", pod.image("root"))
    await pod.wait_for_phase(state_pb2.MACHINE_PHASE_RUNNING)


async def test_launcher_killed_while_it_prepares_starts_the_guest_once(pod: PodWithDisks) -> None:
    """Twice it waits for a sidecar that has died; what it, or one before it, left half-made is in nobody's way."""
    _image(pod)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(pod.volumes["container-disks"] / "root.sock"))
    give_to_the_pod(pod.volumes["container-disks"] / "root.sock")
    disks = pod.private / "disks"
    for name in ("root.qcow2", "root.qcow2.part", "data.part"):
        disks.mkdir(exist_ok=True)
        (disks / name).write_bytes(b"half")
    (disks / "data.files").mkdir()
    give_to_the_pod(disks)
    data = machine_pb2.Disk(name="data", device=machine_pb2.DISK_DEVICE_CDROM, bus=machine_pb2.DISK_BUS_SATA)
    data.cloud_init.source = machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD
    request = launcher_pb2.StartMachineRequest(machine=pod.diskful(data, pod.container_disk()))
    starting = pod.stub.StartMachine(request)
    await pod.appears(pod.private / "machine.binpb")
    await changes_until(disks, (disks / "data.iso").exists)
    for _ in range(2):
        await pod.kill("launcher")
    pod.start_sidecar("root", pod.image("root"))
    state = await pod.wait_for_phase(state_pb2.MACHINE_PHASE_RUNNING)
    await starting.code()
    assert [disk.target for disk in state.disks] == ["sda", "vda"]
    await pod.wait_for_console(b"booted from the ", b"image")
    assert sorted(path.name for path in disks.iterdir()) == ["data.iso", "root.image", "root.qcow2"]
    assert pod.log.count("starting the guest's CPUs") == 1


def _two(pod: PodWithDisks) -> None:
    _image(pod)
    _image(pod, name="second.img")


def _none(pod: PodWithDisks) -> None:
    (pod.image("root") / "disk").mkdir()


def _symlink(pod: PodWithDisks) -> None:
    _none(pod)
    (pod.image("root") / "disk/only.img").symlink_to("/etc/passwd")


def _symlinked_folder(pod: PodWithDisks) -> None:
    (pod.image("root") / "disk").symlink_to("/var/run/kubevirt-private")


def _directory(pod: PodWithDisks) -> None:
    _none(pod)
    (pod.image("root") / "disk/only.img").mkdir()


def _device(pod: PodWithDisks) -> None:
    _none(pod)
    os.mknod(pod.image("root") / "disk/only.img", 0o666 | 0o020000, os.makedev(1, 3))


def _pipe(pod: PodWithDisks) -> None:
    _none(pod)
    os.mkfifo(pod.image("root") / "disk/only.img", 0o666)


def _empty(pod: PodWithDisks) -> None:
    _image(pod).write_bytes(b"")


def _unreadable(pod: PodWithDisks) -> None:
    _image(pod).chmod(0o600)


def _backing_file(pod: PodWithDisks) -> None:
    image = _image(pod)
    image.unlink()
    qemu_img("create", "-q", "-f", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw", str(image), "1M")


def _data_file(pod: PodWithDisks) -> None:
    image = _image(pod)
    image.unlink()
    data = pod.folder / "data"
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"data_file={data},data_file_raw=on", str(image), "1M")


def _corrupt(pod: PodWithDisks) -> None:
    """The table of tables lies beyond the end of the file."""
    image = _image(pod, qcow2=True)
    with image.open("r+b") as file:
        file.seek(40)  # l1_table_offset
        file.write((1 << 40).to_bytes(8, "big"))


def _corrupt_tables(pod: PodWithDisks) -> None:
    image = _image(pod, qcow2=True)
    with image.open("r+b") as file:
        file.seek(40)
        first = int.from_bytes(file.read(8), "big")
        file.seek(first)
        file.write((0x8000000000000000 | 512).to_bytes(8, "big"))  # a table that is not on a cluster's boundary


def _truncated(pod: PodWithDisks) -> None:
    os.truncate(_image(pod, qcow2=True), 50)


def _vmdk(pod: PodWithDisks) -> None:
    raw = _image(pod)
    qemu_img("convert", "-O", "vmdk", str(raw), str(raw.with_name("x")))
    raw.with_name("x").rename(raw)


HOSTILE: dict[str, tuple[Callable[[PodWithDisks], object], str, str]] = {
    "two disks": (_two, "", "its image holds more than one file in /disk, name one by path: only.img, second.img"),
    "no disk": (_none, "", "its image holds no disk: /disk is empty"),
    "no folder": (lambda pod: pod.image("root"), "", "its image holds no disk: there is no folder /disk"),
    "symlink": (_symlink, "", "its image /disk/only.img is a symbolic link at only.img, use a regular file"),
    "symlink to a folder": (_symlinked_folder, "", "its image /disk is a symbolic link at disk, use a folder"),
    "directory": (_directory, "", "its image /disk/only.img is a folder at only.img, use a regular file"),
    "device": (_device, "", "its image /disk/only.img is a device, pipe or socket at only.img, use a regular file"),
    "pipe": (_pipe, "", "its image /disk/only.img is a device, pipe or socket at only.img, use a regular file"),
    "process": (
        _image,
        "/proc/1/environ",
        "its image /proc/1/environ is not a file of the image:",
    ),
    "link of proc": (_image, "/proc/1/root/x", "its image /proc/1/root/x is a symbolic link at root, use a folder"),
    "absent": (_image, "/disk/other.img", "its image /disk/other.img cannot be opened at other.img: No such file"),
    "empty": (_empty, "", "/disk/only.img is empty"),
    "unreadable": (_unreadable, "", "its image /disk/only.img cannot be read by user 107: Permission denied"),
    "backing file": (_backing_file, "", "/disk/only.img has a backing file, use an image without one"),
    "data file": (_data_file, "", "/disk/only.img has an external data file, use an image without one"),
    "corrupt": (
        _corrupt,
        "",
        "/disk/only.img is a corrupt qcow2: ERROR: counting reference",
    ),
    "corrupt tables": (_corrupt_tables, "", "/disk/only.img is a corrupt qcow2:"),
    "truncated": (_truncated, "", "/disk/only.img is a corrupt qcow2: it ends within its header"),
    "another format": (_vmdk, "", "/disk/only.img is of format vmdk, use raw or qcow2"),
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_image_is_refused_by_what_is_wrong_with_it(pod: PodWithDisks, kind: str) -> None:
    make, path, reason = HOSTILE[kind]
    make(pod)
    pod.start_sidecar("root", pod.image("root"))
    state = await pod.start_machine(pod.diskful(pod.container_disk(path=path)))
    assert (state.phase, state.end) == (state_pb2.MACHINE_PHASE_ENDED, state_pb2.MACHINE_END_START_FAILED), state
    assert state.message.startswith(f"disk root: {reason}"), state.message
    assert state.failed_disk == "root"
    assert not (pod.private / "virt-serial0").exists(), "QEMU was started"
    await pod.kill("launcher")
    assert await pod.wait_for_phase(state_pb2.MACHINE_PHASE_ENDED) == state
