"""XML of the machine's disks and their controllers. Pure; part of xml.py.

Every layer of a disk is listed with its format, so that neither libvirt nor QEMU probes an image for its backing files.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from kubevirt.launcher.v1 import machine_pb2
from virt_core.rpc.words import word

from virt_launcher.domain.elements import text, vcpus, virtio_model
from virt_launcher.storage.access import is_read_only
from virt_launcher.storage.copied import is_copied
from virt_launcher.storage.layers import Layer, PreparedDisk

_PORTS = 6  # of the AHCI controller of q35
_MOST_QUEUES = 256  # libvirt's
# File systems that the launcher builds contain documents and are not bootable.
_DATA = ("cloud_init", "folder")


def disk_targets(disks: Sequence[machine_pb2.Disk]) -> list[str]:
    """The likely names in the guest: virtio disks are vda, vdb, …, all others sda, sdb, …, in their order."""
    counts = {"vd": 0, "sd": 0}
    targets = []
    for disk in disks:
        prefix = "vd" if disk.bus == machine_pb2.DISK_BUS_VIRTIO else "sd"
        targets.append(prefix + _letters(counts[prefix]))
        counts[prefix] += 1
    return targets


def copied_disks(disks: Sequence[machine_pb2.Disk]) -> dict[str, str]:
    """The disks that a live migration copies: name → libvirt's name of the target."""
    named = zip(disks, disk_targets(disks), strict=True)
    return {disk.name: target for disk, target in named if is_copied(disk)}


def io_threads(domain: ET.Element, machine: machine_pb2.Machine) -> None:
    """Add a thread for each disk with a dedicated I/O thread."""
    count = sum(disk.dedicated_io_thread for disk in machine.disks)
    if count:
        text(domain, "iothreads", str(count))


def disks(parent: ET.Element, machine: machine_pb2.Machine, prepared: Sequence[PreparedDisk]) -> None:
    """Add all disks in order; `prepared` has the layers of each."""
    if any(disk.bus == machine_pb2.DISK_BUS_SCSI for disk in machine.disks):
        model = "virtio-transitional" if machine.virtio_transitional else "virtio-scsi"
        ET.SubElement(parent, "controller", type="scsi", index="0", model=model)
    orders, units, threads = _boot_orders(machine), dict.fromkeys(machine_pb2.DiskBus.values(), 0), 0
    targets = disk_targets(machine.disks)
    for disk, made, target, order in zip(machine.disks, prepared, targets, orders, strict=True):
        element = _disk(parent, disk, made, target)
        driver = element.find("driver")
        assert driver is not None
        if disk.bus == machine_pb2.DISK_BUS_VIRTIO:
            element.set("model", virtio_model(machine))
            if machine.disk_multiqueue:
                driver.set("queues", str(min(vcpus(machine), _MOST_QUEUES)))
        if disk.dedicated_io_thread:
            threads += 1
            driver.set("iothread", str(threads))
        if order:
            ET.SubElement(element, "boot", order=str(order))
        _address(element, disk, units[disk.bus])
        units[disk.bus] += 1


def _disk(parent: ET.Element, disk: machine_pb2.Disk, made: PreparedDisk, target: str) -> ET.Element:
    writable = not is_read_only(disk)
    top = made.layers[0] if made.layers else None
    block = top is not None and top.block
    device = word(machine_pb2.DiskDevice, disk.device)
    element = ET.SubElement(parent, "disk", type="block" if block else "file", device=device)
    # A drive without a medium has no file system that could lack O_DIRECT.
    cache = "none" if made.direct or not made.layers else "writethrough"
    if disk.HasField("cache"):
        cache = word(machine_pb2.DiskCache, disk.cache)
    driver = ET.SubElement(element, "driver", name="qemu", type=top.format if top is not None else "raw", cache=cache)
    stop = not disk.HasField("error_policy")
    driver.set("error_policy", "stop" if stop else word(machine_pb2.DiskErrorPolicy, disk.error_policy))
    # The kernel's asynchronous I/O blocks on sparse files, and all images except devices are sparse.
    if disk.HasField("io"):
        driver.set("io", word(machine_pb2.DiskIo, disk.io))
    elif block and cache == "none":
        driver.set("io", "native")
    if writable and disk.device == machine_pb2.DISK_DEVICE_DISK:
        driver.set("discard", "unmap")  # space that the guest frees is returned to the node
    if top is not None:
        _source(element, top)
        _backing(element, made.layers[1:])
    where = ET.SubElement(element, "target", dev=target, bus=word(machine_pb2.DiskBus, disk.bus))
    if disk.tray_open:
        where.set("tray", "open")
    if not writable:
        ET.SubElement(element, "readonly")
    if disk.shareable:
        ET.SubElement(element, "shareable")
    if disk.serial:
        text(element, "serial", disk.serial)
    sizes = {"logical_block_size": disk.logical_block_size, "physical_block_size": disk.physical_block_size}
    if any(sizes.values()):
        ET.SubElement(element, "blockio", {name: str(size) for name, size in sizes.items() if size})
    return element


def _source(parent: ET.Element, layer: Layer) -> None:
    ET.SubElement(parent, "source", {"dev" if layer.block else "file": layer.path})


def _backing(parent: ET.Element, layers: Sequence[Layer]) -> None:
    """Add the rest of the backing chain and its explicit end."""
    for layer in layers:
        parent = ET.SubElement(parent, "backingStore", type="block" if layer.block else "file")
        ET.SubElement(parent, "format", type=layer.format)
        _source(parent, layer)
    ET.SubElement(parent, "backingStore")


def _address(element: ET.Element, disk: machine_pb2.Disk, unit: int) -> None:
    """Add an explicit address. libvirt's default would depend on the names of other disks."""
    if disk.bus == machine_pb2.DISK_BUS_SCSI:
        place = {"controller": "0", "bus": "0", "target": "0", "unit": str(unit)}
    elif disk.bus == machine_pb2.DISK_BUS_SATA:
        place = {"controller": str(unit // _PORTS), "bus": "0", "target": "0", "unit": str(unit % _PORTS)}
    else:
        return
    ET.SubElement(element, "address", {"type": "drive", **place})


def _boot_orders(machine: machine_pb2.Machine) -> list[int]:
    """The boot orders of the machine. Without any, the disks boot in their order, so that the firmware does not
    guess."""
    boot_orders = [disk.boot_order for disk in machine.disks]
    if any(boot_orders) or any(interface.boot_order for interface in machine.interfaces):
        return boot_orders
    order = 0
    orders = []
    for disk in machine.disks:
        bootable = disk.WhichOneof("source") not in _DATA and not disk.tray_open
        order += bootable
        orders.append(order if bootable else 0)
    return orders


def _letters(index: int) -> str:
    """a to z, then aa and so on."""
    letters = ""
    index += 1
    while index:
        index, digit = divmod(index - 1, 26)
        letters = chr(ord("a") + digit) + letters
    return letters
