"""Files that the pod's other containers provide for the machine. Called by keeper.py and migration/target.py.

kernel-boot copies kernel and initial RAM disk, and each containerDisk's container listens on a socket. They start after
the launcher, some with an image that has to be pulled first. Each file is renamed into place when it is ready.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from kubevirt.launcher.v1 import machine_pb2
from virt_core import logs

_log = logs.bound("virt_launcher.machine")

_WITHOUT_INOTIFY = 1.0  # seconds between two looks if inotify is exhausted


def missing(machine: machine_pb2.Machine) -> list[str]:
    """The files that are not there yet."""
    paths = [machine.kernel_boot.kernel_path, machine.kernel_boot.initrd_path]
    paths += [disk.container_disk.socket_path for disk in machine.disks]
    return [path for path in paths if path and not Path(path).exists()]


async def all_provided(machine: machine_pb2.Machine) -> None:
    """Return when no file is missing."""
    if not (paths := missing(machine)):
        return
    from virt_launcher.folder_watch import FolderWatch

    _log.info("waiting for the pod's other containers", paths=paths)
    try:
        with FolderWatch(*{str(Path(path).parent) for path in paths}) as watch:
            while missing(machine):
                await watch.changed()
    except OSError as error:
        _log.warning("looking every second because folders cannot be watched", reason=str(error))
        while True:
            await asyncio.sleep(_WITHOUT_INOTIFY)
            if not missing(machine):
                return
