"""Validation of disks. Their contents are checked at the start. Part of validation/machine.py."""

from __future__ import annotations

import re
from typing import Any, Literal

from kubevirt.launcher.v1 import machine_pb2

from virt_launcher.machine.validation.checks import (
    LINE,
    PATH,
    absolute,
    distinct,
    matches,
    require,
    specified,
    unix_socket,
)

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SERIAL = re.compile(r"[A-Za-z0-9_.+-]{0,256}")  # libvirt's letters, KubeVirt's length
_LABEL = re.compile(r"[\x20-\x7e]{0,32}")  # ISO 9660
_BUSES = {
    machine_pb2.DISK_DEVICE_DISK: (
        machine_pb2.DISK_BUS_VIRTIO,
        machine_pb2.DISK_BUS_SATA,
        machine_pb2.DISK_BUS_SCSI,
        machine_pb2.DISK_BUS_USB,
    ),
    machine_pb2.DISK_DEVICE_CDROM: (machine_pb2.DISK_BUS_SATA, machine_pb2.DISK_BUS_SCSI, machine_pb2.DISK_BUS_USB),
    machine_pb2.DISK_DEVICE_LUN: (machine_pb2.DISK_BUS_SCSI,),
}
_CHOICES: tuple[tuple[Literal["cache", "io", "error_policy"], Any], ...] = (
    ("cache", machine_pb2.DiskCache),
    ("io", machine_pb2.DiskIo),
    ("error_policy", machine_pb2.DiskErrorPolicy),
)
_MOST_DISKS = 64
_SMALLEST_BLOCK, _LARGEST_BLOCK = 512, 2 << 20  # QEMU's
_LARGEST_DOCUMENT = 1 << 20  # a Kubernetes object is not larger


def validate_disks(machine: machine_pb2.Machine) -> None:
    """Raises InvalidField."""
    require(len(machine.disks) <= _MOST_DISKS, "disks", len(machine.disks), f"{_MOST_DISKS} at most")
    for index, disk in enumerate(machine.disks):
        _disk(f"disks[{index}]", disk)
    distinct((f"disks[{index}].name", disk.name) for index, disk in enumerate(machine.disks))


def _disk(path: str, disk: machine_pb2.Disk) -> None:
    matches(_NAME, f"{path}.name", disk.name, "a DNS label")
    require(disk.device in _BUSES, f"{path}.device", disk.device, "DISK, CDROM or LUN")
    allowed = _BUSES[disk.device]
    require(disk.bus in allowed, f"{path}.bus", disk.bus, " or ".join(machine_pb2.DiskBus.Name(bus) for bus in allowed))
    for choice, enum in _CHOICES:
        if disk.HasField(choice):
            specified(enum, f"{path}.{choice}", getattr(disk, choice))
    cached = disk.HasField("cache") and disk.cache != machine_pb2.DISK_CACHE_NONE
    native = disk.io == machine_pb2.DISK_IO_NATIVE
    require(not (native and cached), f"{path}.cache", disk.cache, "DISK_CACHE_NONE with native I/O")
    matches(_SERIAL, f"{path}.serial", disk.serial, "256 letters, digits and _.+- at most")
    threaded = disk.dedicated_io_thread and disk.bus != machine_pb2.DISK_BUS_VIRTIO
    require(not threaded, f"{path}.dedicated_io_thread", True, "false on any bus but virtio")
    wrong = disk.tray_open and disk.device != machine_pb2.DISK_DEVICE_CDROM
    require(not wrong, f"{path}.tray_open", True, "false for what is no CD drive")
    # AHCI has no read-only disks, and libvirt refuses them.
    wrong = disk.read_only and (disk.device, disk.bus) == (machine_pb2.DISK_DEVICE_DISK, machine_pb2.DISK_BUS_SATA)
    require(not wrong, f"{path}.read_only", True, "false for a disk on SATA, or another bus")
    for field in ("logical_block_size", "physical_block_size"):
        _block_size(f"{path}.{field}", getattr(disk, field))
    _source(path, disk)


def _block_size(path: str, size: int) -> None:
    valid = not size or (_SMALLEST_BLOCK <= size <= _LARGEST_BLOCK and size & (size - 1) == 0)
    require(valid, path, size, f"a power of two from {_SMALLEST_BLOCK} to {_LARGEST_BLOCK}, or 0")


def _source(path: str, disk: machine_pb2.Disk) -> None:
    kind = disk.WhichOneof("source")
    own = (kind == "image_file" and not disk.image_file.ephemeral) or (
        kind == "block_device" and not disk.block_device.ephemeral
    )
    require(own or not disk.shareable, f"{path}.shareable", True, "false where writes go to an overlay")
    device = kind == "block_device" and own
    require(
        device or disk.device != machine_pb2.DISK_DEVICE_LUN,
        f"{path}.device",
        "LUN",
        "DISK for what is no block device",
    )
    match kind:
        case "container_disk":
            unix_socket(f"{path}.container_disk.socket_path", disk.container_disk.socket_path)
            if disk.container_disk.path:
                absolute(f"{path}.container_disk.path", disk.container_disk.path)
        case "cloud_init":
            _cloud_init(f"{path}.cloud_init", disk.cloud_init)
        case "empty_disk":
            capacity = disk.empty_disk.capacity_bytes
            require(capacity >= _SMALLEST_BLOCK, f"{path}.empty_disk.capacity_bytes", capacity, "512 at least")
        case "image_file":
            absolute(f"{path}.image_file.path", disk.image_file.path)
            size = disk.image_file.create_bytes
            valid = size % _SMALLEST_BLOCK == 0
            require(valid, f"{path}.image_file.create_bytes", size, f"a multiple of {_SMALLEST_BLOCK}")
        case "block_device":
            absolute(f"{path}.block_device.path", disk.block_device.path)
        case "folder":
            absolute(f"{path}.folder.path", disk.folder.path)
            label = disk.folder.volume_label
            matches(_LABEL, f"{path}.folder.volume_label", label, "32 printable ASCII characters at most")
        case None:
            require(disk.tray_open, f"{path}.source", "nothing", "one, except for an open CD drive")


def _cloud_init(path: str, source: machine_pb2.CloudInit) -> None:
    forms = (machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD, machine_pb2.CLOUD_INIT_SOURCE_CONFIG_DRIVE)
    require(source.source in forms, f"{path}.source", source.source, "NO_CLOUD or CONFIG_DRIVE")
    for field in ("user_data", "network_data"):
        size = len(getattr(source, field))
        require(size <= _LARGEST_DOCUMENT, f"{path}.{field}", f"{size} bytes", f"{_LARGEST_DOCUMENT} bytes at most")
        folder = getattr(source, f"{field}_folder")
        if folder:
            matches(PATH, f"{path}.{field}_folder", folder, "an absolute path")
    for index, folder in enumerate(source.public_key_folders):
        absolute(f"{path}.public_key_folders[{index}]", folder)
    for field in ("instance_id", "hostname"):
        matches(LINE, f"{path}.{field}", getattr(source, field), "printable ASCII")
