"""The machine's disks and their controllers. Pure; called by xml.py.

Every layer of a disk is named with its format, down to the last, so that neither libvirt nor QEMU looks into an image
to guess what else belongs to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from kubevirt.launcher.v1 import machine_pb2
from virt_core.rpc.words import word

from virt_launcher.domain.elements import text, vcpus, virtio_model
from virt_launcher.storage.access import is_read_only
from virt_launcher.storage.layers import Layer, PreparedDisk

_PORTS = 6  # of the AHCI controller of q35
_MOST_QUEUES = 256  # libvirt's
# File systems that the launcher made hold documents, nothing boots from them.
_DATA = ("cloud_init", "folder")


def disk_targets(disks: Sequence[machine_pb2.Disk]) -> list[str]:
    """The guest's likely names: virtio disks are vda, vdb and so on, all others sda, sdb and so on, in their order."""
    counts = {"vd": 0, "sd": 0}
    targets = []
    for disk in disks:
        prefix = "vd" if disk.bus == machine_pb2.DISK_BUS_VIRTIO else "sd"
        targets.append(prefix + _letters(counts[prefix]))
        counts[prefix] += 1
    return targets


def io_threads(domain: ET.Element, machine: machine_pb2.Machine) -> None:
    """As many as disks want one of their own."""
    count = sum(disk.dedicated_io_thread for disk in machine.disks)
    if count:
        text(domain, "iothreads", str(count))


def disks(parent: ET.Element, machine: machine_pb2.Machine, prepared: Sequence[PreparedDisk]) -> None:
    """Every disk, in order, `prepared` being what each consists of."""
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
    # A drive without a medium has no file system that could be in the way.
    cache = "none" if made.direct or not made.layers else "writethrough"
    if disk.HasField("cache"):
        cache = word(machine_pb2.DiskCache, disk.cache)
    driver = ET.SubElement(element, "driver", name="qemu", type=top.format if top is not None else "raw", cache=cache)
    stop = not disk.HasField("error_policy")
    driver.set("error_policy", "stop" if stop else word(machine_pb2.DiskErrorPolicy, disk.error_policy))
    # The kernel's own asynchronous I/O blocks on files with holes, which all but devices are.
    if disk.HasField("io"):
        driver.set("io", word(machine_pb2.DiskIo, disk.io))
    elif block and cache == "none":
        driver.set("io", "native")
    if writable and disk.device == machine_pb2.DISK_DEVICE_DISK:
        driver.set("discard", "unmap")  # what the guest deletes goes back to the node
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
    """The rest of the chain, and that there is no more of it."""
    for layer in layers:
        parent = ET.SubElement(parent, "backingStore", type="block" if layer.block else "file")
        ET.SubElement(parent, "format", type=layer.format)
        _source(parent, layer)
    ET.SubElement(parent, "backingStore")


def _address(element: ET.Element, disk: machine_pb2.Disk, unit: int) -> None:
    """Where libvirt's own choice would depend on the other disks' names."""
    if disk.bus == machine_pb2.DISK_BUS_SCSI:
        place = {"controller": "0", "bus": "0", "target": "0", "unit": str(unit)}
    elif disk.bus == machine_pb2.DISK_BUS_SATA:
        place = {"controller": str(unit // _PORTS), "bus": "0", "target": "0", "unit": str(unit % _PORTS)}
    else:
        return
    ET.SubElement(element, "address", {"type": "drive", **place})


def _boot_orders(machine: machine_pb2.Machine) -> list[int]:
    """As given; if nobody says anything, the disks in their order, so that the firmware guesses nothing."""
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
