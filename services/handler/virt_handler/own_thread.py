"""Work in a thread of its own, which ends with the work. Called by network/namespace.py and launchers/claim_images.py.

Such work changes its thread: the network namespace, the user. A thread of a pool would keep that for later work. Work
that hangs, as on a network's file system, occupies no thread of the pool.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

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
