"""The layers of a disk, and images that are refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubevirt.launcher.v1 import machine_pb2
from virt_launcher.storage.actions import CheckQcow2, MakeEmpty, MakeIso, MakeOverlay
from virt_launcher.storage.documents import cloud_init
from virt_launcher.storage.image_header import HEADER_BYTES, ImageHeader, UnusableImage, image_header
from virt_launcher.storage.layers import Layer
from virt_launcher.storage.plan import Documents, OpenedImage, Preparation, plan
from virt_launcher.storage.sources import find

from tests.samples.public_keys import KEY, OTHER
from tests.support.mounted_secret import MountedSecret

CONTAINER_DISK = machine_pb2.Disk(
    name="root", device=machine_pb2.DISK_DEVICE_DISK, container_disk=machine_pb2.ContainerDisk(socket_path="/s")
)
RAW = Layer("/proc/1/fd/9", "raw")


def qcow2(*, version: int = 3, backing: int = 0, size: int = 4096, encryption: int = 0, incompatible: int = 0) -> bytes:
    fields = struct.pack(">4sIQIIQI", b"QFI\xfb", version, backing, 0, 16, size, encryption)
    return (fields.ljust(72, b"\0") + struct.pack(">Q", incompatible)).ljust(HEADER_BYTES, b"\0")


def user_image(head: bytes = b"", size: int = 4096) -> OpenedImage:
    return OpenedImage("/proc/1/fd/9", size, head, any_format=True)


def test_container_disk_is_laid_under_an_overlay() -> None:
    layers = (Layer("/d/root.qcow2", "qcow2"), RAW)
    assert plan(CONTAINER_DISK, user_image(), "/d") == Preparation((MakeOverlay("/d/root.qcow2", RAW, 4096),), layers)


def test_qcow2_is_checked_before_anything_lies_on_it() -> None:
    below = Layer("/proc/1/fd/9", "qcow2")
    made = plan(CONTAINER_DISK, user_image(qcow2(size=1 << 20)), "/d")
    assert made.actions == (CheckQcow2(below.path), MakeOverlay("/d/root.qcow2", below, 1 << 20))
    assert made.layers[1] == below


@pytest.mark.parametrize(
    "changes", [{"read_only": True}, {"device": machine_pb2.DISK_DEVICE_CDROM}], ids=["read-only disk", "CD drive"]
)
def test_what_cannot_be_written_needs_no_overlay(changes: dict[str, object]) -> None:
    disk = machine_pb2.Disk()
    disk.CopyFrom(CONTAINER_DISK)
    disk.MergeFrom(machine_pb2.Disk(**changes))  # type: ignore[arg-type]
    assert plan(disk, user_image(), "/d") == Preparation((), (RAW,))


@pytest.mark.parametrize("kind", ["image_file", "block_device"])
@pytest.mark.parametrize("ephemeral", [False, True])
def test_claim_is_raw_whatever_a_guest_wrote_into_it(kind: str, ephemeral: bool) -> None:
    disk = machine_pb2.Disk(name="claim", device=machine_pb2.DISK_DEVICE_DISK)
    getattr(disk, kind).path, getattr(disk, kind).ephemeral = "/c", ephemeral
    found = OpenedImage("/c", 4096, qcow2(backing=512), block=kind == "block_device")
    layer = Layer("/c", "raw", kind == "block_device")
    made = plan(disk, found, "/d")
    assert made.layers == ((Layer("/d/claim.qcow2", "qcow2"), layer) if ephemeral else (layer,))
    assert made.actions == ((MakeOverlay("/d/claim.qcow2", layer, 4096),) if ephemeral else ())


def test_empty_disk_and_documents_are_made() -> None:
    empty = machine_pb2.Disk(name="scratch", empty_disk=machine_pb2.EmptyDisk(capacity_bytes=1 << 20))
    assert plan(empty, None, "/d").actions == (MakeEmpty("/d/scratch.qcow2", 1 << 20),)
    documents = Documents({"a": b"b"}, "label")
    made = plan(machine_pb2.Disk(name="files", folder=machine_pb2.FolderImage(path="/f")), documents, "/d")
    assert made == Preparation((MakeIso("/d/files.iso", "label", {"a": b"b"}),), (Layer("/d/files.iso", "raw"),))


@pytest.mark.parametrize("size", [1 << 40, 1 << 50])
def test_disks_are_thin_however_large_they_are(size: int) -> None:
    empty = machine_pb2.Disk(name="e", empty_disk=machine_pb2.EmptyDisk(capacity_bytes=size))
    assert plan(empty, None, "/d").actions == (MakeEmpty("/d/e.qcow2", size),)
    assert plan(CONTAINER_DISK, user_image(size=size), "/d").actions == (MakeOverlay("/d/root.qcow2", RAW, size),)


@pytest.mark.parametrize(
    ("head", "size", "reason"),
    [
        (b"", 0, "is empty"),
        (qcow2(backing=104), 4096, "has a backing file"),
        (qcow2(version=2, backing=104), 4096, "has a backing file"),
        (qcow2(incompatible=4), 4096, "has an external data file"),
        (qcow2(incompatible=2), 4096, "is a corrupt qcow2: it is marked so"),
        (qcow2(encryption=2), 4096, "is encrypted"),
        (qcow2(version=9), 4096, "is a corrupt qcow2: version 9"),
        (qcow2(size=0), 4096, "is a qcow2 of no size"),
        (qcow2()[:50], 50, "is a corrupt qcow2: it ends within its header"),
        (b"KDMV" + bytes(100), 4096, "is of format vmdk"),
        (b"\xfd7zXZ\0" + bytes(100), 4096, "is of format xz"),
    ],
)
def test_image_that_is_no_disk_is_refused(head: bytes, size: int, reason: str) -> None:
    with pytest.raises(UnusableImage, match=f"^{reason}"):
        image_header(head, size)


@given(st.binary(max_size=HEADER_BYTES), st.integers(0, 1 << 50))
def test_any_header_is_judged(head: bytes, size: int) -> None:
    for begun in (head, b"QFI\xfb" + head[4:]):
        try:
            header = image_header(begun, size)
        except UnusableImage:
            continue
        assert header.virtual_bytes > 0
        assert header.format == "raw" or int.from_bytes(begun[8:16], "big") == 0, "a backing file"


def test_versions_of_qcow2_are_taken() -> None:
    # In version 2 there is no field of features: what lies there is something else.
    assert image_header(qcow2(version=2, incompatible=4), 4096) == ImageHeader("qcow2", 4096)
    assert image_header(qcow2(incompatible=1), 4096) == ImageHeader("qcow2", 4096)


@pytest.mark.parametrize(
    ("source", "label", "prefix", "names"),
    [
        (machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD, "cidata", "", ["meta-data", "network-config", "user-data"]),
        (
            machine_pb2.CLOUD_INIT_SOURCE_CONFIG_DRIVE,
            "config-2",
            "openstack/latest/",
            ["meta_data.json", "network_data.json", "user_data"],
        ),
    ],
)
def test_each_data_source_has_its_files(
    source: machine_pb2.CloudInitSource.ValueType, label: str, prefix: str, names: list[str]
) -> None:
    made = cloud_init(
        machine_pb2.CloudInit(source=source, instance_id="i-1", hostname='a"b'), b"#cloud-config\nx: 1", b"net"
    )
    assert (made.label, sorted(made.files)) == (label, [prefix + name for name in names])
    assert {b"#cloud-config\nx: 1", b"net"} < set(made.files.values())
    metadata = json.loads(made.files[prefix + names[0]])
    assert {"i-1", 'a"b'} <= set(metadata.values())


@pytest.mark.parametrize(
    ("source", "file", "field"),
    [
        (machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD, "meta-data", "public-keys"),
        (machine_pb2.CLOUD_INIT_SOURCE_CONFIG_DRIVE, "openstack/latest/meta_data.json", "public_keys"),
    ],
)
def test_public_keys_are_in_the_metadata(source: machine_pb2.CloudInitSource.ValueType, file: str, field: str) -> None:
    made = cloud_init(machine_pb2.CloudInit(source=source), b"", b"", [KEY, OTHER])
    assert json.loads(made.files[file])[field] == {"0": KEY, "1": OTHER}
    assert field not in json.loads(cloud_init(machine_pb2.CloudInit(source=source), b"", b"").files[file])


def test_public_keys_of_a_data_source_are_read_from_its_folders(tmp_path: Path) -> None:
    folders = [MountedSecret(tmp_path / name, values).path for name, values in (("a", {"k": KEY}), ("b", {"k": OTHER}))]
    source = machine_pb2.CloudInit(source=machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD, public_key_folders=folders)
    _, found = find(machine_pb2.Disk(name="seed", cloud_init=source), 0, lambda descriptor: descriptor)
    assert isinstance(found, Documents)
    assert json.loads(found.files["meta-data"])["public-keys"] == {"0": KEY, "1": OTHER}


@pytest.mark.parametrize("values", [{"k": "no key"}, None])
def test_a_data_source_with_something_else_than_public_keys_is_unusable(
    tmp_path: Path, values: dict[str, str] | None
) -> None:
    folder = tmp_path / "secret"
    if values is not None:
        MountedSecret(folder, values)
    source = machine_pb2.CloudInit(source=machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD, public_key_folders=[str(folder)])
    with pytest.raises(UnusableImage, match=f"lacks public keys: .*{folder}") as refusal:
        find(machine_pb2.Disk(name="seed", cloud_init=source), 0, lambda descriptor: descriptor)
    assert "no key" not in str(refusal.value)


def test_absent_network_data_makes_no_file() -> None:
    made = cloud_init(machine_pb2.CloudInit(source=machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD), b"", b"")
    assert sorted(made.files) == ["meta-data", "user-data"]
