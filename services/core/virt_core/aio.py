"""Runs a service: event loop, signals, shutdown. Called by each service's ``__main__``."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any


def run(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run `main(stopping)` on uvloop until it returns; `stopping` is set by SIGTERM or SIGINT."""
    import uvloop  # type: ignore[import-untyped, unused-ignore]

    async def supervised() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        await main(stopping)

    uvloop.run(supervised())


class TaskEnded(Exception):
    """A task that must run as long as the process has returned. The process exits and the kubelet restarts it."""


async def first(*events: asyncio.Event) -> None:
    """Return when one of `events` is set."""
    waiting = [asyncio.create_task(event.wait(), name="one of several events") for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


async def until(stopping: asyncio.Event, *coroutines: tuple[str, Coroutine[Any, Any, None]]) -> None:
    """Run the named coroutines in one TaskGroup until `stopping` is set, then cancel them.

    Raises:
        ExceptionGroup: one of them failed or returned (TaskEnded); the others were cancelled.
    """

    async def endless(name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        await coroutine
        if not stopping.is_set():
            raise TaskEnded(f"task {name} returned, it must run as long as the process")

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(endless(name, coroutine), name=name) for name, coroutine in coroutines]
        ended = group.create_task(stopping.wait(), name="signal")
        await ended
        for task in tasks:
            task.cancel()
