"""Contents of disks that the launcher builds, and what persists of the guest's writes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kubevirt.launcher.v1 import machine_pb2, state_pb2
from virt_core.rpc.errors import InvalidField

from tests.integration.launcher.container_disks import VOLUMES, PodWithDisks, give_to_the_pod
from tests.integration.launcher.images import Images
from tests.support.patience import PATIENCE

DISK, CDROM = machine_pb2.DISK_DEVICE_DISK, machine_pb2.DISK_DEVICE_CDROM
VIRTIO, SCSI = machine_pb2.DISK_BUS_VIRTIO, machine_pb2.DISK_BUS_SCSI
DEVICES = ("/dev/kubevirt/written", "/dev/kubevirt/kept")
MIB = 1 << 20


@pytest.fixture
async def pod(images: Images) -> AsyncIterator[PodWithDisks]:
    """A pod in which the demonstration guest can start, with a block device; the launcher has no machine yet."""
    made = PodWithDisks(images)
    try:
        made.make_network()
        placed = made.place_boot_files()
        assert placed.returncode == 0, placed.stderr
        for device in DEVICES:
            block = made.folder / Path(device).name
            block.write_bytes(b"block".ljust(MIB, b"\0"))
            made.add_block_device(device, block)
        await made.start()
        await made.peer.negotiate(timeout=PATIENCE)
        yield made
    finally:
        await made.remove()


def _as_the_kubelet_mounts(folder: Path, files: dict[str, str]) -> None:
    """Every name is a link into a folder that is replaced as a whole."""
    (folder / "..2026_11_26").mkdir()
    (folder / "..data").symlink_to("..2026_11_26")
    for name, content in files.items():
        (folder / "..data" / name).write_text(content)
        (folder / name).symlink_to(f"..data/{name}")
    give_to_the_pod(folder)


async def _output(pod: PodWithDisks, command: str) -> str:
    """The first line that a command prints in the guest."""
    await pod.type(b'echo "<""$(%s)"">"\n' % command.encode())
    return (await pod.wait_for_console(b"\n<", b">")).decode()


async def test_guest_reads_each_kind_of_document(pod: PodWithDisks) -> None:
    secret = pod.volume("secret")
    _as_the_kubelet_mounts(secret, {"userdata": "from a secret", "unused": "x"})
    config = pod.volume("config")
    _as_the_kubelet_mounts(config, {"a-name-of-more-than-eight-letters.conf": "from a ConfigMap"})
    no_cloud = machine_pb2.Disk(name="cloud", device=CDROM, bus=SCSI)
    no_cloud.cloud_init.MergeFrom(
        machine_pb2.CloudInit(
            source=machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD,
            user_data=b"#cloud-config\nusers: [<me>]",
            network_data=b"version: 2",
            instance_id="i-1",
            hostname="demo",
        )
    )
    drive = machine_pb2.Disk(name="drive", device=DISK, bus=VIRTIO, read_only=True)
    drive.cloud_init.source = machine_pb2.CLOUD_INIT_SOURCE_CONFIG_DRIVE
    drive.cloud_init.user_data_folder = f"{VOLUMES}/secret"
    folder = machine_pb2.Disk(name="files", device=DISK, bus=SCSI, read_only=True)
    folder.folder.path, folder.folder.volume_label = f"{VOLUMES}/config", "CONFIG"
    state = await pod.start_machine(pod.machine(disks=[no_cloud, drive, folder]))
    assert [(disk.name, disk.target) for disk in state.disks] == [("cloud", "sda"), ("drive", "vda"), ("files", "sdb")]
    await pod.wait_for_console(b"guest-demo login: ", b"ready")
    await pod.type(b"for d in sr0 vda sda; do mkdir /tmp/$d; mount -o ro /dev/$d /tmp/$d; done 2>/dev/null\n")
    assert await _output(pod, "tail -n1 /tmp/sr0/user-data") == "users: [<me"  # up to the mark that ends an answer
    assert await _output(pod, "cat /tmp/sr0/network-config") == "version: 2"
    assert await _output(pod, "cat /tmp/sr0/meta-data") == '{"instance-id": "i-1", "local-hostname": "demo"}'
    label = "dd if=/dev/%s bs=1 skip=32808 count=8 2>/dev/null"  # of the primary volume descriptor
    assert [(await _output(pod, label % device)).strip() for device in ("sr0", "vda", "sda")] == [
        "cidata",
        "config-2",
        "CONFIG",
    ]
    assert await _output(pod, "cat /tmp/vda/openstack/latest/user_data") == "from a secret"
    assert await _output(pod, "ls /tmp/sda") == "a-name-of-more-than-eight-letters.conf"
    assert await _output(pod, "cat /tmp/sda/*") == "from a ConfigMap"


async def test_what_the_guest_writes_stays_where_it_should(pod: PodWithDisks) -> None:
    """A claim's new file, an ephemeral claim, an empty disk, a device and one under an overlay."""
    claim, base = pod.volume("claim"), pod.volume("base")
    (base / "disk.img").write_bytes(b"base ".ljust(MIB, b"\0"))
    give_to_the_pod(base)
    disks = [
        machine_pb2.Disk(name=name, device=DISK, bus=VIRTIO) for name in ("claim", "base", "empty", "block", "over")
    ]
    disks[0].image_file.path, disks[0].image_file.create_bytes = f"{VOLUMES}/claim/disk.img", 2 * MIB
    disks[1].image_file.path, disks[1].image_file.ephemeral = f"{VOLUMES}/base/disk.img", True
    disks[2].empty_disk.capacity_bytes = 3 * MIB
    disks[3].block_device.path = DEVICES[0]
    disks[4].block_device.path, disks[4].block_device.ephemeral = DEVICES[1], True
    state = await pod.start_machine(pod.machine(disks=disks))
    assert [(disk.target, disk.capacity_bytes // MIB) for disk in state.disks] == [
        ("vda", 2),
        ("vdb", 1),
        ("vdc", 3),
        ("vdd", 1),
        ("vde", 1),
    ], state
    await pod.wait_for_console(b"guest-demo login: ", b"ready")
    assert await _output(pod, "head -c4 /dev/vdb") == "base"
    assert await _output(pod, "head -c5 /dev/vde") == "block"
    await pod.type(b"for d in a b c d e; do printf 'wrote-%s' $d > /tmp/x; dd if=/tmp/x of=/dev/vd$d; done; sync\n")
    assert await _output(pod, "sync; for d in a b c d e; do head -c7 /dev/vd$d; done") == (
        "wrote-awrote-bwrote-cwrote-dwrote-e"
    )
    await pod.stop_machine(grace=0)
    await pod.wait_for_phase(state_pb2.MACHINE_PHASE_ENDED)
    assert (claim / "disk.img").read_bytes()[:7] == b"wrote-a"
    assert (claim / "disk.img").stat().st_size == 2 * MIB
    assert (base / "disk.img").read_bytes()[:5] == b"base "
    assert (pod.folder / "written").read_bytes()[:7] == b"wrote-d"
    assert (pod.folder / "kept").read_bytes()[:5] == b"block"


async def test_claim_keeps_what_is_in_it_and_a_link_in_it_is_not_followed(pod: PodWithDisks) -> None:
    claim = pod.volume("claim")
    (claim / "disk.img").symlink_to("/var/run/kubevirt-private/machine.binpb")
    disk = machine_pb2.Disk(name="claim", device=DISK, bus=VIRTIO)
    disk.image_file.path, disk.image_file.create_bytes = f"{VOLUMES}/claim/disk.img", MIB
    state = await pod.start_machine(pod.machine(disks=[disk]))
    assert (state.end, state.failed_disk) == (state_pb2.MACHINE_END_START_FAILED, "claim")
    assert state.message.endswith("/claim/disk.img cannot be opened: it is a symbolic link"), state.message


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            {"image_file": machine_pb2.ImageFile(path=f"{VOLUMES}/absent.img")},
            "absent.img cannot be opened: No such file",
        ),
        ({"block_device": machine_pb2.BlockDevice(path="/dev/null")}, "/dev/null is not a block device"),
        ({"folder": machine_pb2.FolderImage(path=f"{VOLUMES}/absent")}, "absent cannot be prepared: [Errno 2]"),
        (
            {
                "cloud_init": machine_pb2.CloudInit(
                    source=machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD, user_data_folder=VOLUMES
                )
            },
            "its data source lacks a document: the Secret at /var/run/kubevirt/volumes has no key userdata or userData",
        ),
    ],
)
async def test_missing_sources_are_reported(pod: PodWithDisks, source: dict[str, object], reason: str) -> None:
    disk = machine_pb2.Disk(name="bad", device=DISK, bus=VIRTIO, **source)  # type: ignore[arg-type]
    state = await pod.start_machine(pod.machine(disks=[disk]))
    assert (state.end, state.failed_disk) == (state_pb2.MACHINE_END_START_FAILED, "bad")
    assert reason in state.message


async def test_invalid_disk_is_refused_by_field(pod: PodWithDisks) -> None:
    disk = machine_pb2.Disk(name="../x", device=DISK, bus=VIRTIO, empty_disk=machine_pb2.EmptyDisk(capacity_bytes=MIB))
    with pytest.raises(InvalidField) as invalid:
        await pod.start_machine(pod.machine(disks=[disk]))
    assert invalid.value.field == "machine.disks[0].name"
