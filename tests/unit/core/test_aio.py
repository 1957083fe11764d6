"""The end of a service: by signal, by a failure, by a task that must not return."""

from __future__ import annotations

import asyncio

import pytest
from virt_core.aio import TaskEnded, until

from tests.support.patience import PATIENCE


async def forever() -> None:
    await asyncio.Event().wait()


async def returns() -> None:
    pass


async def test_a_task_that_returns_ends_the_process() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.timeout(PATIENCE):
            await until(asyncio.Event(), ("watches", forever()), ("rpc server", returns()))
    (ended,) = raised.value.exceptions
    assert isinstance(ended, TaskEnded)
    assert "rpc server" in str(ended)


async def test_after_the_signal_tasks_may_end_as_they_like() -> None:
    stopping = asyncio.Event()

    async def returns_at_the_signal() -> None:
        await stopping.wait()

    async def signal() -> None:
        stopping.set()
        await forever()

    async with asyncio.timeout(PATIENCE):
        await until(stopping, ("ends", returns_at_the_signal()), ("signal", signal()))
