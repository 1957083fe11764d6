"""Opens sockets in pods' folders, safely against manipulation by the guest's side.

Called by connection.py and service/. A pod can write into its emptyDirs: a symlink or a file of another type or owner
in place of a socket is an attack and refused by name. Folders are opened step by step from a descriptor, without
following links. A socket is opened once, with O_PATH; its type and owner are read from that descriptor, which is also
used to connect, so that no name is resolved twice.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import ExitStack
from pathlib import Path

from virt_core.conventions.labels import LAUNCHER_UID

from virt_handler.launchers.folder_events import FolderEvents

_POD_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ENTRY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class HostilePath(Exception):
    """An entry in a pod's folder has the wrong type or owner: never use it, check again much later."""


class PodFolders:
    """The kubelet's folder of pods."""

    def __init__(self, root: Path, events: FolderEvents) -> None:
        self._root = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._events = events

    def close(self) -> None:
        """Release the root's descriptor."""
        os.close(self._root)

    async def wait_for_socket(self, pod_uid: str, volume: str, name: str) -> int:
        """Like `open_socket`, as soon as the socket exists."""
        while True:
            folder, missing = self._open_deepest(_parts(pod_uid, volume))
            with ExitStack() as watched:
                try:
                    changed = watched.enter_context(self._events.watch(folder))
                    if missing and _exists(folder, missing[0]):
                        continue
                    if not missing and _exists(folder, name):
                        return _open_socket(folder, name)
                    removed = os.fstat(folder).st_nlink == 0
                finally:
                    os.close(folder)  # inotify does not report the removal of an open folder
                if not removed:  # a folder that was removed before the watch began reports no event
                    await changed.wait()

    def open_socket(self, pod_uid: str, volume: str, name: str) -> int:
        """A descriptor of the socket `name` in the emptyDir `volume`; connect to /proc/self/fd/<it>, then close it.

        Raises:
            HostilePath: it is not a socket, or does not belong to the launcher's user.
            FileNotFoundError: it does not exist.
        """
        folder, missing = self._open_deepest(_parts(pod_uid, volume))
        try:
            if missing:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), missing[0])
            return _open_socket(folder, name)
        finally:
            os.close(folder)

    def _open_deepest(self, parts: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
        """The deepest folder along `parts` that exists, and the parts that do not."""
        folder = os.dup(self._root)
        for index, part in enumerate(parts):
            try:
                deeper = os.open(part, _FOLDER, dir_fd=folder)
            except FileNotFoundError:
                return folder, parts[index:]
            except OSError as error:
                os.close(folder)
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise HostilePath(f"{'/'.join(parts[: index + 1])} is not a folder") from error
                raise
            os.close(folder)
            folder = deeper
        return folder, ()


def _parts(pod_uid: str, volume: str) -> tuple[str, ...]:
    if _POD_UID.fullmatch(pod_uid) is None:
        raise HostilePath(f"pod UID: {pod_uid!r} is not allowed, use a UUID in lower case")
    return (pod_uid, "volumes", "kubernetes.io~empty-dir", volume)


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _open_socket(folder: int, name: str) -> int:
    entry = os.open(name, _ENTRY, dir_fd=folder)
    status = os.fstat(entry)
    if not stat.S_ISSOCK(status.st_mode):
        os.close(entry)
        raise HostilePath(f"{name} is not a socket (mode {status.st_mode:o})")
    if status.st_uid != LAUNCHER_UID:
        os.close(entry)
        raise HostilePath(f"{name} belongs to user {status.st_uid}, not to {LAUNCHER_UID}")
    return entry
