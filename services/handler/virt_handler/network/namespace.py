"""Runs a function inside another network namespace, while the process stays in its own.

A thread of its own joins the namespace, runs the function and ends. Processes that the function starts inherit the
namespace, and /proc/sys/net shows that namespace's values.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import TypeVar

from virt_handler.own_thread import in_own_thread

_CLONE_NEWNET = 0x40000000  # <sched.h>
_libc = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


async def run_inside(namespace: int, work: Callable[[], T]) -> T:
    """Run `work` in the network namespace of the descriptor; returns or raises what `work` does.

    A cancellation stops the wait, not the work: work must be short and repeatable.
    """
    own = os.dup(namespace)  # the caller may close its descriptor while the thread still runs

    def body() -> T:
        try:
            if _libc.setns(own, _CLONE_NEWNET) != 0:
                number = ctypes.get_errno()
                raise OSError(number, f"setns: {os.strerror(number)}")
            return work()
        finally:
            os.close(own)

    return await in_own_thread("network namespace", body)
