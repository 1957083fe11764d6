"""Who may write. Pure; used by plan.py, sources.py and domain/disks_xml.py."""

from __future__ import annotations

from kubevirt.launcher.v1 import launcher_pb2 as pb


def is_read_only(disk: pb.Disk) -> bool:
    """Whether the guest cannot write: to no CD, and to no disk that says so."""
    return disk.read_only or disk.device == pb.DISK_DEVICE_CDROM
