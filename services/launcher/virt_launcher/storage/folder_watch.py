"""Being told that something new is in one folder. Called by container_files.py, which imports it only to wait."""

from __future__ import annotations

import asyncio
import ctypes
import os
from types import TracebackType

# From <sys/inotify.h>.
_IN_MOVED_TO, _IN_CREATE = 0x80, 0x100
_EVENTS_BYTES = 4096


class FolderWatch:
    """One inotify instance, for as long as it is entered."""

    def __init__(self, folder: str) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0 or libc.inotify_add_watch(self._fd, os.fsencode(folder), _IN_MOVED_TO | _IN_CREATE) < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"inotify on {folder}: {os.strerror(number)}")

    def __enter__(self) -> FolderWatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    async def changed(self) -> None:
        """Return after something new has appeared since the watch was made."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._fd, ready.set)
        try:
            await ready.wait()
            os.read(self._fd, _EVENTS_BYTES)
        finally:
            loop.remove_reader(self._fd)
