"""Who may write. Pure; used by plan.py, sources.py and domain/disks_xml.py."""

from __future__ import annotations

from kubevirt.launcher.v1 import machine_pb2


def is_read_only(disk: machine_pb2.Disk) -> bool:
    """Whether the guest cannot write: to no CD, and to no disk that says so."""
    return disk.read_only or disk.device == machine_pb2.DISK_DEVICE_CDROM
