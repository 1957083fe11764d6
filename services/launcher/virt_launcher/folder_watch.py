"""Notifications about new entries in folders. Called by machine/provided.py, storage/container_files.py and
agent/secret_watch.py, which import it only if they have to wait."""

from __future__ import annotations

import asyncio
import ctypes
import os
from types import TracebackType

# From <sys/inotify.h>.
_IN_MOVED_TO, _IN_CREATE = 0x80, 0x100
_EVENTS_BYTES = 4096


class FolderWatch:
    """An inotify instance that exists inside its context."""

    def __init__(self, *folders: str) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for folder in folders:
            if self._fd < 0 or libc.inotify_add_watch(self._fd, os.fsencode(folder), _IN_MOVED_TO | _IN_CREATE) < 0:
                number = ctypes.get_errno()
                if self._fd >= 0:
                    os.close(self._fd)
                raise OSError(number, f"inotify on {folder}: {os.strerror(number)}")

    def __enter__(self) -> FolderWatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    async def changed(self) -> None:
        """Wait for an entry that appears after the watch was created."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._fd, ready.set)
        try:
            await ready.wait()
            os.read(self._fd, _EVENTS_BYTES)
        finally:
            loop.remove_reader(self._fd)
