"""Notifications about new entries in folders: one inotify instance per process (a user has 128 of them).

Used by pod_folders.py and deviceplugin/. An event only means "check again": names in events are ignored, because the
guest's side chooses the names in a pod's folder.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

# From <sys/inotify.h>.
_IN_MOVED_TO, _IN_CREATE, _IN_DELETE_SELF, _IN_MOVE_SELF = 0x80, 0x100, 0x400, 0x800
_IN_Q_OVERFLOW, _IN_IGNORED, _IN_ONLYDIR = 0x4000, 0x8000, 0x01000000
_MASK = _IN_MOVED_TO | _IN_CREATE | _IN_DELETE_SELF | _IN_MOVE_SELF | _IN_ONLYDIR
_HEADER = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows
_libc = ctypes.CDLL(None, use_errno=True)


class FolderEvents:
    """Watches folders by descriptor. Make it inside the running loop and close it there."""

    def __init__(self) -> None:
        self._fd = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._waiting: dict[int, set[asyncio.Event]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._read)

    def close(self) -> None:
        """Stop watching."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    @contextmanager
    def watch(self, folder: int) -> Iterator[asyncio.Event]:
        """An event that is set when an entry appears in the folder of the descriptor, or the folder is removed.

        Read the folder after entering the context, not before: entries that appear in between would be missed.

        Raises:
            OSError: the folder cannot be watched.
        """
        path = f"/proc/self/fd/{folder}".encode()
        watch = _checked(_libc.inotify_add_watch(self._fd, path, ctypes.c_uint32(_MASK)))
        changed = asyncio.Event()
        self._waiting.setdefault(watch, set()).add(changed)  # the kernel has one watch for each folder
        try:
            yield changed
        finally:
            waiting = self._waiting.get(watch)
            if waiting is not None:
                waiting.discard(changed)
                if not waiting:
                    del self._waiting[watch]
                    _libc.inotify_rm_watch(self._fd, watch)

    def _read(self) -> None:
        try:
            events = os.read(self._fd, 64 * 1024)
        except BlockingIOError:
            return
        offset = 0
        while offset < len(events):
            watch, mask, _, length = _HEADER.unpack_from(events, offset)
            offset += _HEADER.size + length
            if mask & _IN_Q_OVERFLOW:
                wakeups = [event for waiting in self._waiting.values() for event in waiting]
            elif mask & _IN_IGNORED:
                wakeups = list(self._waiting.pop(watch, ()))
            else:
                wakeups = list(self._waiting.get(watch, ()))
            for event in wakeups:
                event.set()


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        hint = " (fs.inotify limits of the node)" if number in (errno.ENOSPC, errno.EMFILE) else ""
        raise OSError(number, f"inotify: {os.strerror(number)}{hint}")
    return result
