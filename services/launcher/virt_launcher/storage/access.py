"""Write access to disks. Pure; used by plan.py, sources.py and domain/disks_xml.py."""

from __future__ import annotations

from kubevirt.launcher.v1 import machine_pb2


def is_read_only(disk: machine_pb2.Disk) -> bool:
    """Whether the guest cannot write: CDs, and disks that are marked read-only."""
    return disk.read_only or disk.device == machine_pb2.DISK_DEVICE_CDROM
