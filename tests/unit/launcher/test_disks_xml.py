"""Disks in the domain XML, checked against libvirt's schema."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import libvirt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kubevirt.launcher.v1 import machine_pb2
from virt_core.rpc.errors import InvalidField
from virt_launcher.domain.disks_xml import disk_targets
from virt_launcher.domain.files import DomainFiles
from virt_launcher.domain.xml import domain_xml
from virt_launcher.machine.validation.machine import validate
from virt_launcher.storage.layers import Layer, PreparedDisk

from tests.samples.prepared_disks import prepared
from tests.support.hypervisor.libvirts_schema import require_valid, without_hypervisor

FILES = DomainFiles.below(Path("/private"))
VIRTIO, SATA, SCSI, USB = (
    machine_pb2.DISK_BUS_VIRTIO,
    machine_pb2.DISK_BUS_SATA,
    machine_pb2.DISK_BUS_SCSI,
    machine_pb2.DISK_BUS_USB,
)
DISK, CDROM, LUN = machine_pb2.DISK_DEVICE_DISK, machine_pb2.DISK_DEVICE_CDROM, machine_pb2.DISK_DEVICE_LUN
CONTAINER_DISK = machine_pb2.ContainerDisk(socket_path="/run/a.sock")


def machine(*disks: machine_pb2.Disk) -> machine_pb2.Machine:
    return machine_pb2.Machine(
        uid="u",
        name="demo",
        namespace="default",
        accelerator=machine_pb2.ACCELERATOR_EMULATION,
        machine_type="q35",
        bootloader=machine_pb2.BOOTLOADER_BIOS,
        cpu=machine_pb2.CpuTopology(sockets=1, cores=2, threads=1),
        memory_bytes=64 << 20,
        firmware_uuid="6a1f0d52-6a7a-4c9b-8d5e-1c2b3a4d5e6f",
        disks=disks,
    )


def disk(name: str = "root", bus: machine_pb2.DiskBus.ValueType = VIRTIO, **fields: object) -> machine_pb2.Disk:
    defaults: dict[str, object] = {"device": DISK, "container_disk": CONTAINER_DISK}
    if {"empty_disk", "image_file", "block_device", "cloud_init", "folder"} & fields.keys():
        del defaults["container_disk"]
    return machine_pb2.Disk(name=name, bus=bus, **{**defaults, **fields})  # type: ignore[arg-type]


def elements(made: machine_pb2.Machine, disks: list[PreparedDisk] | None = None) -> list[ET.Element]:
    tree = ET.fromstring(domain_xml(made, FILES, prepared(made) if disks is None else disks))
    return tree.findall("devices/disk")


def test_disk_with_an_overlay() -> None:
    """Golden: every layer with its format, and the end of the chain."""
    expected = """\
<disk type="file" device="disk" model="virtio">
  <driver name="qemu" type="qcow2" cache="none" error_policy="stop" discard="unmap" />
  <source file="/overlay" />
  <backingStore type="file">
    <format type="raw" />
    <source file="/image" />
    <backingStore />
  </backingStore>
  <target dev="vda" bus="virtio" />
  <serial>4711</serial>
  <boot order="1" />
</disk>"""
    (element,) = elements(machine(disk(serial="4711")))
    ET.indent(element)
    assert ET.tostring(element, encoding="unicode").strip() == expected


def test_targets_follow_the_order() -> None:
    buses = [SATA, VIRTIO, SCSI, VIRTIO, USB, *[VIRTIO] * 26]
    targets = disk_targets([disk(str(index), bus) for index, bus in enumerate(buses)])
    assert targets[:5] == ["sda", "vda", "sdb", "vdb", "sdc"]
    assert targets[-3:] == ["vdz", "vdaa", "vdab"]


@pytest.mark.parametrize(
    ("direct", "block", "fields", "cache", "io"),
    [
        (True, False, {}, "none", None),
        (False, False, {}, "writethrough", None),
        (True, True, {}, "none", "native"),
        (True, True, {"io": machine_pb2.DISK_IO_THREADS}, "none", "threads"),
        (True, True, {"cache": machine_pb2.DISK_CACHE_WRITEBACK}, "writeback", None),
        (True, False, {"io": machine_pb2.DISK_IO_NATIVE}, "none", "native"),
    ],
)
def test_cache_and_io_follow_what_is_below(
    direct: bool, block: bool, fields: dict[str, str], cache: str, io: str | None
) -> None:
    (element,) = elements(machine(disk(**fields)), [PreparedDisk((Layer("/x", "raw", block),), direct)])
    driver = element.find("driver")
    assert driver is not None
    assert (driver.get("cache"), driver.get("io")) == (cache, io)


def orders(made: machine_pb2.Machine) -> list[str | None]:
    boots = [element.find("boot") for element in elements(made)]
    return [None if boot is None else boot.get("order") for boot in boots]


def test_disks_boot_in_their_order_by_default() -> None:
    data = disk(
        "data", SATA, device=CDROM, cloud_init=machine_pb2.CloudInit(source=machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD)
    )
    assert orders(machine(disk("a"), data, disk("b"))) == ["1", None, "2"]
    assert orders(machine(disk("a"), data, disk("b", boot_order=7))) == [None, None, "7"]
    over_the_network = machine(disk("a"))
    over_the_network.interfaces.add(
        model=machine_pb2.NETWORK_CARD_MODEL_VIRTIO, tap_device="tap0", mac_address="52:54:00:00:00:01", boot_order=1
    )
    assert orders(over_the_network) == [None]


def test_each_bus_counts_its_own_units() -> None:
    made = machine(
        *[disk(f"sata{index}", SATA) for index in range(8)], *[disk(f"s{index}", SCSI) for index in range(9)]
    )
    addresses = [element.find("address") for element in elements(made)]
    places = [(address.get("controller"), address.get("unit")) for address in addresses if address is not None]
    assert places == [("0", str(n)) for n in range(6)] + [("1", "0"), ("1", "1")] + [("0", str(n)) for n in range(9)]


def test_threads_and_queues_are_for_virtio_disks_that_ask() -> None:
    made = machine(disk("a"), disk("b", dedicated_io_thread=True), disk("c", SATA), disk("d", dedicated_io_thread=True))
    made.disk_multiqueue = True
    drivers = [element.find("driver") for element in elements(made)]
    assert [driver.get("iothread") for driver in drivers if driver is not None] == [None, "1", None, "2"]
    assert [driver.get("queues") for driver in drivers if driver is not None] == ["2", "2", None, "2"]
    assert ET.fromstring(domain_xml(made, FILES, prepared(made))).findtext("iothreads") == "2"


def test_read_only_is_in_the_xml() -> None:
    found = elements(machine(disk("a", read_only=True), disk("b", SATA), disk("c", SATA, device=CDROM)))
    assert [element.find("readonly") is not None for element in found] == [True, False, True]


def test_open_tray_is_empty() -> None:
    made = machine(disk("cd", SATA, device=CDROM, tray_open=True, io=machine_pb2.DISK_IO_NATIVE))
    (element,) = elements(made)
    target = element.find("target")
    assert element.find("source") is None
    assert target is not None
    assert target.get("tray") == "open"
    driver = element.find("driver")
    assert driver is not None and driver.get("cache") == "none", "native I/O has no other"


@pytest.fixture(scope="module")
def hypervisor() -> Iterator[libvirt.virConnect]:
    with without_hypervisor() as connection:
        yield connection


block_sizes = st.sampled_from([0, 512, 4096])
sources = st.sampled_from(
    [
        {"container_disk": CONTAINER_DISK},
        {"empty_disk": machine_pb2.EmptyDisk(capacity_bytes=512)},
        {"image_file": machine_pb2.ImageFile(path="/v/disk.img")},
        {"image_file": machine_pb2.ImageFile(path="/v/disk.img", ephemeral=True)},
        {"block_device": machine_pb2.BlockDevice(path="/dev/v")},
        {"block_device": machine_pb2.BlockDevice(path="/dev/v", ephemeral=True)},
        {"cloud_init": machine_pb2.CloudInit(source=machine_pb2.CLOUD_INIT_SOURCE_CONFIG_DRIVE)},
        {"folder": machine_pb2.FolderImage(path="/v")},
    ]
)
random_disks = st.builds(
    lambda source, **fields: machine_pb2.Disk(**source, **fields),
    sources,
    device=st.sampled_from([DISK, CDROM, LUN]),
    bus=st.sampled_from([VIRTIO, SATA, SCSI, USB]),
    boot_order=st.integers(0, 9),
    cache=st.none() | st.sampled_from(machine_pb2.DiskCache.values()[1:]),
    io=st.none() | st.sampled_from(machine_pb2.DiskIo.values()[1:]),
    serial=st.text("aZ9_.+-", max_size=20),
    read_only=st.booleans(),
    shareable=st.booleans(),
    error_policy=st.none() | st.sampled_from(machine_pb2.DiskErrorPolicy.values()[1:]),
    logical_block_size=block_sizes,
    physical_block_size=block_sizes,
    tray_open=st.booleans(),
    dedicated_io_thread=st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(random_disks, max_size=6), st.booleans(), st.booleans())
def test_disks_that_are_valid_are_taken_by_libvirt(
    hypervisor: libvirt.virConnect, disks: list[machine_pb2.Disk], transitional: bool, multiqueue: bool
) -> None:
    made = machine()
    made.virtio_transitional, made.disk_multiqueue = transitional, multiqueue
    for index, disk in enumerate(disks):
        disk.name = f"disk{index}"
        disk.boot_order = index + 1 if disk.boot_order else 0
        made.disks.append(disk)
        try:
            validate(made)
        except InvalidField as invalid:
            assert invalid.field.startswith(f"machine.disks[{len(made.disks) - 1}].")
            del made.disks[-1]
    xml = domain_xml(made, FILES, prepared(made))
    require_valid(hypervisor, xml)
    assert len(elements(made)) == len(made.disks)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("name", {"name": "../x"}),
        ("name", {"name": ""}),
        ("device", {"device": machine_pb2.DISK_DEVICE_UNSPECIFIED}),
        ("bus", {"bus": machine_pb2.DISK_BUS_UNSPECIFIED}),
        ("bus", {"device": CDROM, "bus": VIRTIO}),
        ("cache", {"cache": 0}),
        ("cache", {"cache": machine_pb2.DISK_CACHE_WRITEBACK, "io": machine_pb2.DISK_IO_NATIVE}),
        ("io", {"io": 99}),
        ("error_policy", {"error_policy": 99}),
        ("serial", {"serial": 'a"/><b'}),
        ("dedicated_io_thread", {"bus": SATA, "dedicated_io_thread": True}),
        ("tray_open", {"tray_open": True}),
        ("read_only", {"bus": SATA, "read_only": True}),
        ("logical_block_size", {"logical_block_size": 1000}),
        ("physical_block_size", {"physical_block_size": 4 << 20}),
        ("shareable", {"shareable": True}),
        ("device", {"device": LUN, "bus": SCSI}),
        ("container_disk.socket_path", {"container_disk": machine_pb2.ContainerDisk(socket_path="/" + "x" * 107)}),
        ("container_disk.path", {"container_disk": machine_pb2.ContainerDisk(socket_path="/s", path="/disk/../../x")}),
        ("empty_disk.capacity_bytes", {"empty_disk": machine_pb2.EmptyDisk()}),
        ("image_file.path", {"image_file": machine_pb2.ImageFile(path="disk.img")}),
        ("image_file.create_bytes", {"image_file": machine_pb2.ImageFile(path="/d", create_bytes=511)}),
        ("folder.volume_label", {"folder": machine_pb2.FolderImage(path="/d", volume_label="x" * 33)}),
        ("cloud_init.source", {"cloud_init": machine_pb2.CloudInit()}),
        ("cloud_init.hostname", {"cloud_init": machine_pb2.CloudInit(source=1, hostname="a\nb")}),
    ],
)
def test_bad_disk_is_refused_by_field(field: str, fields: dict[str, object]) -> None:
    with pytest.raises(InvalidField) as invalid:
        validate(machine(disk(**fields)))  # type: ignore[arg-type]
    assert invalid.value.field == f"machine.disks[0].{field}"


def test_two_disks_of_one_name_and_none_without_a_source() -> None:
    with pytest.raises(InvalidField, match=r"disks\[1\]\.name"):
        validate(machine(disk("a"), disk("a")))
    with pytest.raises(InvalidField, match=r"disks\[0\]\.source"):
        validate(machine(machine_pb2.Disk(name="a", device=DISK, bus=VIRTIO)))
