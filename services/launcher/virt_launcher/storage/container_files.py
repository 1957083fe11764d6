"""Opens a disk image in another container of the pod, safely against manipulation by that container.

Called by sources.py. The container's files are below /proc/<pid>/root of its only process, whose PID comes from the
credentials of its socket (container_disk.c). The user's image is hostile: each step is opened relative to the previous
descriptor, without following links or entering other mounts.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from virt_launcher.storage.image_header import UnusableImage

DEFAULT_FOLDER = "/disk"
_SHOWN = 4
_CREDENTIALS = struct.Struct("3i")  # struct ucred of <sys/socket.h>: pid, uid, gid


async def serving_process(path: str, patience: float) -> int:
    """Wait for the process that listens on a unix socket and return its PID.

    Raises:
        UnusableImage: nothing listened within `patience` seconds.
    """
    try:
        async with asyncio.timeout(patience):
            while (pid := _listener(path)) is None:
                await _changed(path)
            return pid
    except TimeoutError:
        raise UnusableImage(f"cannot be reached: nothing has listened on {path} for {patience:.0f} s") from None


def _listener(path: str) -> int | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)  # a full backlog would block
        try:
            client.connect(path)
        except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
            return None
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(credentials)[0]
    if not pid:
        raise UnusableImage(f"cannot be reached: who listens on {path} is in no process namespace of this container")
    return pid


async def _changed(path: str) -> None:
    """Wait until an entry appears in the socket's folder: the process there has died, and is restarted."""
    from virt_launcher.folder_watch import FolderWatch

    with FolderWatch(str(Path(path).parent)) as watch:
        if _listener(path) is None:
            await watch.changed()


def open_image(pid: int, path: str) -> tuple[int, str]:
    """A descriptor of the image, for reading, and its path in its container.

    Raises:
        UnusableImage: the path is not a regular file of the container, or the default folder has several files.
    """
    with contextlib.ExitStack() as stack:

        def hold(descriptor: int) -> int:
            stack.callback(os.close, descriptor)
            return descriptor

        try:
            root = hold(os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as error:
            raise UnusableImage(f"cannot be reached: its container has just ended ({error.strerror})") from error
        path = path or _only_file(root, stack)
        at = root
        *folders, name = [step for step in path.split("/") if step]
        for folder in folders:
            at = hold(_step(at, folder, path, folder=True))
        found = hold(_step(at, name, path, folder=False))
        if _mount(found) != _mount(root):
            raise UnusableImage(f"{path} is not a file of the image: something is mounted there")
        try:
            return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC), path
        except OSError as error:
            raise UnusableImage(f"{path} cannot be read by user {os.getuid()}: {error.strerror}") from error


def _only_file(root: int, stack: contextlib.ExitStack) -> str:
    folder = _step(root, DEFAULT_FOLDER.strip("/"), DEFAULT_FOLDER, folder=True)
    stack.callback(os.close, folder)
    names = sorted(_names(folder))
    if not names:
        raise UnusableImage(f"holds no disk: {DEFAULT_FOLDER} is empty")
    if len(names) > 1:
        raise UnusableImage(f"holds more than one file in {DEFAULT_FOLDER}, name one by path: {', '.join(names)}")
    return f"{DEFAULT_FOLDER}/{names[0]}"


def _names(folder: int) -> Iterator[str]:
    """The first names in the folder, printable ones only."""
    readable = os.open(f"/proc/self/fd/{folder}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with os.scandir(readable) as entries:
            for entry, _ in zip(entries, range(_SHOWN), strict=False):
                yield entry.name
    finally:
        os.close(readable)


def _step(at: int, name: str, path: str, *, folder: bool) -> int:
    if name == "..":
        raise UnusableImage(f"{path} leads upwards, use a path without ..")
    try:
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    except OSError as error:
        if error.errno == errno.ENOENT and path == DEFAULT_FOLDER:
            raise UnusableImage(f"holds no disk: there is no folder {DEFAULT_FOLDER}") from error
        raise UnusableImage(f"{path} cannot be opened at {name}: {error.strerror}") from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    raise UnusableImage(f"{path} is {_kind(mode)} at {name}, use a {'folder' if folder else 'regular file'}")


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISREG(mode):
        return "a file"
    return "a device, pipe or socket"


def _mount(descriptor: int) -> str:
    """The ID of the descriptor's mount. st_dev is unsuitable: it differs within an overlay file system."""
    for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines():
        if line.startswith("mnt_id:"):
            return line
    raise UnusableImage("cannot be placed: this kernel cannot identify mounts")
