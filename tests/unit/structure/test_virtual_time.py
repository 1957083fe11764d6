"""The clock of tests/support/virtual_time.py stands still while a thread works."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import virtual_time


def test_the_clock_stands_still_until_the_result_of_a_thread_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the thread is not run between the two calls by which it reports its end to the loop."""
    report = virtual_time.Loop.call_soon_threadsafe

    def slowly(loop: virtual_time.Loop, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        handle = report(loop, callback, *args, context=context)
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.05)  # real: the thread has lost its processor
        return handle

    monkeypatch.setattr(virtual_time.Loop, "call_soon_threadsafe", slowly)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(1000, lambda: None)
        await asyncio.to_thread(time.sleep, 0.02)  # real: it ends when the loop waits for it
        assert loop.time() < 1

    virtual_time.run(main())
