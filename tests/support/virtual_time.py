"""An event loop whose clock jumps to the next timer as soon as nothing else is to be done: days pass in milliseconds.

What runs in a thread of an executor is waited for: the clock stands still meanwhile.
Only for tests without sockets, which would be waited for in no time at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, TypeVar

_T = TypeVar("_T")

_TICK = 1e-9
"""Seconds per turn of the loop. A clock that stood still would keep a deadline, once rounded up, in the future for
ever."""


class Loop(asyncio.SelectorEventLoop):
    """Begins at 0."""

    def __init__(self) -> None:
        self._now = 0.0
        self._calls_in_threads = 0
        super().__init__()
        self._threads = ThreadPoolExecutor(thread_name_prefix="virtual-time")
        self.set_default_executor(self._threads)

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        self._now += _TICK
        live = [timer.when() for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        if not self._ready and live and not self._calls_in_threads:  # type: ignore[attr-defined]
            self._now = max(self._now, min(live))
        super()._run_once()  # type: ignore[misc]

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., _T], *args: Any
    ) -> asyncio.Future[_T]:
        call = (executor or self._threads).submit(func, *args)
        self._calls_in_threads += 1
        result = asyncio.wrap_future(call, loop=self)
        # After the result: a thread that loses its processor between both must not let the clock jump before it.
        call.add_done_callback(lambda _: self.call_soon_threadsafe(self._call_ended))
        return result

    def _call_ended(self) -> None:
        self._calls_in_threads -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Without a limit: Python 3.13's 300 seconds are over at once, before the threads have ended."""
        del timeout
        await super().shutdown_default_executor()


def run(main: Coroutine[Any, Any, None]) -> None:
    """As asyncio.run does, in virtual time."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main)
