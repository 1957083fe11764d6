"""Repeats a pass after each event, or when its time has come. Called by machine/keeper.py and agent/keeper.py."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def repeat(wake: asyncio.Event, work: Callable[[], Awaitable[float | None]]) -> None:
    """Until cancelled. `work` returns the seconds until the next pass, None to wait for `wake` only."""
    while True:
        wake.clear()
        again_in = await work()
        try:
            async with asyncio.timeout(again_in):
                await wake.wait()
        except TimeoutError:
            continue
