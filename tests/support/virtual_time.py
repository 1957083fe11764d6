"""An event loop whose clock jumps to the next timer as soon as nothing else is to be done: days pass in milliseconds.

Only for tests without sockets and threads, which would be waited for in no time at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Loop(asyncio.SelectorEventLoop):
    """Begins at 0."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__()

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        live = [timer.when() for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        if not self._ready and live:  # type: ignore[attr-defined]
            self._now = max(self._now, min(live))
        super()._run_once()  # type: ignore[misc]

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Without a limit: Python 3.13's 300 seconds are over at once, before the threads have ended."""
        del timeout
        await super().shutdown_default_executor()


def run(main: Coroutine[Any, Any, None]) -> None:
    """As asyncio.run does, in virtual time."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main)
