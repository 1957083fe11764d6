"""Machines' disks for tests that make no files."""

from __future__ import annotations

from kubevirt.launcher.v1 import machine_pb2
from virt_launcher.storage.layers import Layer, PreparedDisk


def prepared(machine: machine_pb2.Machine) -> list[PreparedDisk]:
    """What storage would prepare for the machine's disks, if everything behind them was as it should be."""
    return [_prepared(disk) for disk in machine.disks]


def _prepared(disk: machine_pb2.Disk) -> PreparedDisk:
    if disk.tray_open:
        return PreparedDisk()
    image = Layer("/dev/device" if disk.HasField("block_device") else "/image", "raw", disk.HasField("block_device"))
    kept = disk.HasField("container_disk") or disk.image_file.ephemeral or disk.block_device.ephemeral
    layers = (Layer("/overlay", "qcow2"), image) if kept and not disk.read_only else (image,)
    return PreparedDisk(layers, direct=True)
