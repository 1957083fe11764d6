"""Many requests, a limited number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
AT_ONCE = 32


async def each(act: Callable[[T], Awaitable[None]], items: Iterable[T]) -> None:
    """Act on every item, AT_ONCE at a time."""
    left = iter(items)

    async def work() -> None:
        for item in left:
            await act(item)

    async with asyncio.TaskGroup() as group:
        for number in range(AT_ONCE):
            group.create_task(work(), name=f"worker {number}")
