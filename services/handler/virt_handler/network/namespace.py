"""Runs a function inside another network namespace, while the process stays in its own.

A new thread joins the namespace, runs the function and ends: a thread of a pool would stay in the guest's namespace.
Processes that the function starts inherit the namespace, and /proc/sys/net shows that namespace's values.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

_CLONE_NEWNET = 0x40000000  # <sched.h>
_libc = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


async def run_inside(namespace: int, work: Callable[[], T]) -> T:
    """Run `work` in the network namespace of the descriptor; returns or raises what `work` does.

    A cancellation stops the wait, not the work: work must be short and repeatable.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()
    own = os.dup(namespace)  # the caller may close its descriptor while the thread still runs

    def tell(outcome: Callable[[], None]) -> None:
        if not result.done():
            outcome()

    def body() -> None:
        try:
            if _libc.setns(own, _CLONE_NEWNET) != 0:
                number = ctypes.get_errno()
                raise OSError(number, f"setns: {os.strerror(number)}")
            value = work()
        except BaseException as error:  # handed to the waiting task
            failure = error
            outcome: Callable[[], None] = lambda: result.set_exception(failure)  # noqa: E731
        else:
            outcome = lambda: result.set_result(value)  # noqa: E731
        finally:
            os.close(own)
        try:
            loop.call_soon_threadsafe(tell, outcome)
        except RuntimeError:  # the loop has ended: nobody waits for the result
            pass

    threading.Thread(target=body, name="network namespace", daemon=True).start()
    return await result
