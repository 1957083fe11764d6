"""Which disks a live migration copies. Pure; called by domain/disks_xml.py.

All others are there at the target: claims are shared between the nodes, images that the guest cannot write come from
the same container image, and CDs are made again from the same documents.
"""

from __future__ import annotations

from kubevirt.launcher.v1 import machine_pb2

from virt_launcher.storage.access import is_read_only


def is_copied(disk: machine_pb2.Disk) -> bool:
    """Whether what the guest wrote to the disk is in this pod only."""
    if disk.tray_open or is_read_only(disk):
        return False
    match disk.WhichOneof("source"):
        case "image_file":
            return disk.image_file.ephemeral
        case "block_device":
            return disk.block_device.ephemeral
    return True
