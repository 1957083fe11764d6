"""Disks of a guest that migrates: which are copied, how the target makes them, and paths that both launchers have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kubevirt.launcher.v1 import machine_pb2
from virt_launcher.domain.disks_xml import copied_disks
from virt_launcher.storage.actions import MakeEmpty, MakeOverlay, MakeZeros
from virt_launcher.storage.execute import execute
from virt_launcher.storage.holder import keep_open
from virt_launcher.storage.image_header import UnusableImage
from virt_launcher.storage.layers import Layer
from virt_launcher.storage.links import linked
from virt_launcher.storage.plan import Documents, OpenedImage, plan
from virt_launcher.storage.prepare import prepared_disks
from virt_launcher.storage.programs import Programs

DISK, CDROM = machine_pb2.DISK_DEVICE_DISK, machine_pb2.DISK_DEVICE_CDROM
CONTAINER_DISK = machine_pb2.ContainerDisk(socket_path="/s")
CLOUD_INIT = machine_pb2.CloudInit(source=machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD)
FOLDER = machine_pb2.FolderImage(path="/f")
CLAIM, EPHEMERAL_CLAIM = machine_pb2.ImageFile(path="/c"), machine_pb2.ImageFile(path="/c", ephemeral=True)
DEVICE, EPHEMERAL_DEVICE = machine_pb2.BlockDevice(path="/b"), machine_pb2.BlockDevice(path="/b", ephemeral=True)


def disk(**fields: object) -> machine_pb2.Disk:
    defaults: dict[str, object] = {"name": "d", "device": DISK, "bus": machine_pb2.DISK_BUS_VIRTIO}
    return machine_pb2.Disk(**{**defaults, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "copied"),
    [
        ({"container_disk": CONTAINER_DISK}, True),
        ({"container_disk": CONTAINER_DISK, "read_only": True}, False),
        ({"container_disk": CONTAINER_DISK, "device": CDROM}, False),
        ({"empty_disk": machine_pb2.EmptyDisk(capacity_bytes=1)}, True),
        ({"cloud_init": CLOUD_INIT}, True),
        ({"cloud_init": CLOUD_INIT, "device": CDROM}, False),
        ({"folder": FOLDER}, True),
        ({"folder": FOLDER, "device": CDROM}, False),
        ({"image_file": CLAIM}, False),
        ({"image_file": EPHEMERAL_CLAIM}, True),
        ({"block_device": DEVICE}, False),
        ({"block_device": EPHEMERAL_DEVICE}, True),
        ({"device": CDROM, "tray_open": True}, False),
    ],
)
def test_disk_is_copied_if_its_content_is_in_this_pod_only(fields: dict[str, object], copied: bool) -> None:
    assert copied_disks([disk(**fields)]) == ({"d": "vda"} if copied else {})


def test_copied_disks_have_the_targets_that_they_have_among_all() -> None:
    disks = [
        disk(name="claim", image_file=CLAIM),
        disk(name="seed", cloud_init=CLOUD_INIT, bus=machine_pb2.DISK_BUS_SATA),
        disk(name="root", container_disk=CONTAINER_DISK),
    ]
    assert copied_disks(disks) == {"seed": "sda", "root": "vdb"}


def test_disks_are_made_with_the_size_that_they_have_at_the_source() -> None:
    documents = Documents({"a": b"b"}, "label")
    assert plan(disk(cloud_init=CLOUD_INIT), documents, "/d", 6144).actions == (MakeZeros("/d/d.iso", 6144),)
    empty = disk(empty_disk=machine_pb2.EmptyDisk(capacity_bytes=4096))
    assert plan(empty, None, "/d", 8192).actions == (MakeEmpty("/d/d.qcow2", 8192),)
    image = OpenedImage("/d/d.image", 4096)
    overlay = MakeOverlay("/d/d.qcow2", Layer("/d/d.image", "raw"), 8192)
    assert plan(disk(container_disk=CONTAINER_DISK), image, "/d", 8192).actions == (overlay,)


async def test_file_of_zeros_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "seed.iso"
    path.write_bytes(b"earlier")
    await execute(MakeZeros(str(path), 6144), Programs())
    assert path.read_bytes() == bytes(6144)
    assert path.stat().st_blocks * 512 >= 6144, "QEMU does not find the alignment of a hole"
    assert list(tmp_path.iterdir()) == [path]


async def test_file_of_zeros_is_not_larger_than_documents_can_be(tmp_path: Path) -> None:
    with pytest.raises(UnusableImage, match="1125899906842624 bytes are more"):
        await execute(MakeZeros(str(tmp_path / "seed.iso"), 1 << 50), Programs())


async def test_image_of_a_claim_has_a_path_without_a_process(tmp_path: Path) -> None:
    claim, disks = tmp_path / "disk.img", tmp_path / "disks"
    claim.write_bytes(bytes(4096))
    claimed = disk(name="claim", image_file=machine_pb2.ImageFile(path=str(claim)))
    holders: list[str] = []
    for _ in range(2):  # again over the link of an earlier attempt
        async with prepared_disks([claimed], disks) as prepared:
            (layer,) = prepared[0].layers
            assert layer.path == f"{disks}/claim.image"
            assert Path(layer.path).samefile(claim)
            claim.rename(tmp_path / "moved")
            claim.write_bytes(b"put in its place")
            assert Path(layer.path).read_bytes() == bytes(4096)
            (tmp_path / "moved").replace(claim)
        assert Path(layer.path).samefile(claim), "QEMU opens it again at the end of a migration"
        holders.append(Path(layer.path).readlink().parts[2])
    assert [path.name for path in disks.iterdir()] == ["claim.image"]
    assert str(os.getpid()) not in holders
    keep_open(disks, [])
    assert not [holder for holder in holders if Path("/proc", holder).exists()]


def test_device_and_documents_need_no_link(tmp_path: Path) -> None:
    for found in (OpenedImage("/dev/claim", 4096, block=True), Documents({}, ""), None):
        assert linked(found, tmp_path / "d.image") is found
    assert not list(tmp_path.iterdir())
