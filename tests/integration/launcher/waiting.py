"""Waiting for files and processes, without polling."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable
from pathlib import Path

from tests.support.patience import PATIENCE

IN_MODIFY, IN_MOVED_TO = 0x02, 0x80  # sys/inotify.h


async def changes_until(path: Path, true: Callable[[], bool]) -> None:
    """Wait until something is true that can become so only when a file, or a file in a folder, changes."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    try:
        assert libc.inotify_add_watch(watch, bytes(path), IN_MODIFY | IN_MOVED_TO) > 0
        while not true():
            await readable(watch)
            os.read(watch, 4096)
    finally:
        os.close(watch)


async def readable(descriptor: int) -> None:
    """Wait until `descriptor` is readable: of a process, that it has ended."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        async with asyncio.timeout(PATIENCE):
            await ready.wait()
    finally:
        loop.remove_reader(descriptor)
