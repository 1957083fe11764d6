"""Prepares the disks of a machine for libvirt. Called by machine/execute.py right before the hypervisor starts, again
for each attempt.

For each disk: find its source, plan, execute. Images stay open until the hypervisor has opened them; holder.py keeps
those that it opens again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from kubevirt.launcher.v1 import machine_pb2
from virt_core import logs

from virt_launcher.errors import UnusableDisk
from virt_launcher.storage import sources
from virt_launcher.storage.access import is_read_only
from virt_launcher.storage.container_files import serving_process
from virt_launcher.storage.execute import execute
from virt_launcher.storage.holder import keep_open
from virt_launcher.storage.image_header import UnusableImage
from virt_launcher.storage.layers import Layer, PreparedDisk
from virt_launcher.storage.links import linked
from virt_launcher.storage.plan import plan
from virt_launcher.storage.programs import Programs

_log = logs.bound("virt_launcher.storage")

# Its attendant restarts a process that has died within a second.
_PATIENCE = 30.0  # seconds
_NONE: Mapping[str, int] = MappingProxyType({})


@contextlib.asynccontextmanager
async def prepared_disks(
    disks: Sequence[machine_pb2.Disk], folder: Path, copied: Mapping[str, int] = _NONE
) -> AsyncIterator[list[PreparedDisk]]:
    """The prepared disks in order; new files are created in `folder`.

    Args:
        copied: by name of the disk, the bytes that a live migration is about to copy into it.

    Raises:
        UnusableDisk: a disk cannot be attached, and a retry does not help.
    """
    folder.mkdir(exist_ok=True)
    with contextlib.ExitStack() as opened:
        prepared = [await _prepare(disk, folder, opened, copied.get(disk.name, 0)) for disk in disks]
        if reopened := [_link(folder, disk) for disk in disks if _is_reopened(disk)]:
            await asyncio.to_thread(keep_open, folder, reopened)
        yield prepared


async def _prepare(
    disk: machine_pb2.Disk, folder: Path, opened: contextlib.ExitStack, copied_bytes: int
) -> PreparedDisk:
    if disk.tray_open:
        return PreparedDisk()
    image = sources.described(disk)

    def hold(descriptor: int) -> int:
        opened.callback(os.close, descriptor)
        return descriptor

    try:
        pid = 0
        if disk.HasField("container_disk"):
            pid = await serving_process(disk.container_disk.socket_path, _PATIENCE)
        image, found = await asyncio.to_thread(sources.find, disk, pid, hold)
        found = await asyncio.to_thread(linked, found, _link(folder, disk))
        made = plan(disk, found, str(folder), copied_bytes)
        _log.info("preparing a disk", disk=disk.name, image=image, actions=[type(a).__name__ for a in made.actions])
        for action in made.actions:
            await execute(action, Programs())
        direct = await asyncio.to_thread(_all_direct, made.layers)
    except UnusableImage as error:
        raise UnusableDisk(disk.name, f"{image} {error}") from error
    except OSError as error:
        raise UnusableDisk(disk.name, f"{image} cannot be prepared: {error}") from error
    if disk.cache == machine_pb2.DISK_CACHE_NONE and not direct:
        raise UnusableDisk(disk.name, f'{image} is on a file system without O_DIRECT, use another cache than "none"')
    return PreparedDisk(made.layers, direct)


def _link(folder: Path, disk: machine_pb2.Disk) -> Path:
    return folder / f"{disk.name}.image"


def _is_reopened(disk: machine_pb2.Disk) -> bool:
    """Whether QEMU opens its image again later: a file that is not the launcher's own and that it writes to."""
    return disk.HasField("image_file") and not disk.image_file.ephemeral and not is_read_only(disk)


def _all_direct(layers: tuple[Layer, ...]) -> bool:
    for layer in layers:
        try:
            os.close(os.open(layer.path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC))
        except OSError:
            return False
    return True
