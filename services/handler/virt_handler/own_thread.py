"""Work in a thread of its own, which ends with the work. Called by network/namespace.py and machines/pod.py.

Such work changes its thread: the network namespace, the user. A thread of a pool would keep that for later work. Work
that hangs, as on a network's file system, occupies no thread of the pool.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


async def in_own_thread(name: str, work: Callable[[], T]) -> T:
    """What `work` returns or raises.

    Cancelling does not stop the work, it only stops waiting: work must be short and repeatable.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def report(outcome: Callable[[], None]) -> None:
        if not result.done():
            outcome()

    def body() -> None:
        try:
            value = work()
        except BaseException as error:  # handed to the waiting task
            failure = error
            outcome: Callable[[], None] = lambda: result.set_exception(failure)  # noqa: E731
        else:
            outcome = lambda: result.set_result(value)  # noqa: E731
        try:
            loop.call_soon_threadsafe(report, outcome)
        except RuntimeError:  # the loop has ended, and with it whoever waited
            pass

    threading.Thread(target=body, name=name, daemon=True).start()
    return await result


class OneAtATime(Generic[T]):
    """Work by key that may hang: no more than one thread for each key, and nobody waits longer than `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: dict[Hashable, asyncio.Future[T]] = {}

    async def run(self, key: Hashable, name: str, begin: Callable[[], Callable[[], T]]) -> T:
        """What the work that `begin` returns does; with this key, work that has not ended yet is waited for instead.

        Raises:
            TimeoutError: it has not ended; it goes on.
        """
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = asyncio.ensure_future(in_own_thread(name, begin()))
            running.add_done_callback(lambda done: self._end(key, done))
        async with asyncio.timeout(self._seconds):
            return await asyncio.shield(running)

    def _end(self, key: Hashable, done: asyncio.Future[T]) -> None:
        del self._running[key]
        if not done.cancelled():
            done.exception()  # whoever waited may be gone
