"""Whose disk QEMU means by an image that is locked. Pure; called by machine/execute.py.

QEMU names the image as it opened it, for example …/disks/data.image, which says nothing to a user. The kernel does not
tell who holds the lock: the locks belong to open files, not to processes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kubevirt.launcher.v1 import machine_pb2
from virt_core.conventions.launcher_pod import DISK_IN_USE

from virt_launcher.errors import UnusableDisk
from virt_launcher.storage.layers import PreparedDisk

# block/file-posix.c and block/io.c of QEMU: the lock, and a hint with the image's name.
_LOCK = re.compile(r'Failed to get (?:shared )?"([a-z ]+)" lock\s+Is another process using the image \[([^\]]+)\]')


def disk_in_use(
    message: str, disks: Sequence[machine_pb2.Disk], prepared: Sequence[PreparedDisk]
) -> UnusableDisk | None:
    """The disk whose lock QEMU did not get; None if the message is about something else."""
    found = _LOCK.search(message)
    if found is None:
        return None
    lock, path = found.groups()
    for disk, made in zip(disks, prepared, strict=True):
        if any(layer.path == path for layer in made.layers):
            return UnusableDisk(disk.name, f'{DISK_IN_USE} (QEMU\'s "{lock}" lock)')
    return None
