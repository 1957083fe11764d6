"""Work that hangs keeps one thread, and nobody waits for it for long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from virt_handler.own_thread import OneAtATime

LONG = 30.0  # seconds, for a busy machine


class Hanging:
    """A file system whose server is away until `back` is set."""

    def __init__(self) -> None:
        self.threads = 0
        self.back = threading.Event()

    def begin(self) -> Callable[[], str]:
        self.threads += 1

        def work() -> str:
            self.back.wait(LONG)
            return "done"

        return work


async def test_work_that_hangs_is_given_up_and_not_started_beside_itself() -> None:
    work, disk = OneAtATime[str](0.05), Hanging()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await work.run("disk", "disk", disk.begin)
    assert disk.threads == 1
    disk.back.set()
    assert await OneAtATime[str](LONG).run("disk", "disk", disk.begin) == "done"


async def test_work_that_has_ended_is_done_again_and_other_work_does_not_wait() -> None:
    work, away, fine = OneAtATime[str](LONG), Hanging(), Hanging()
    fine.back.set()
    waiting = asyncio.ensure_future(work.run("away", "away", away.begin))
    for _ in range(2):
        assert await work.run("fine", "fine", fine.begin) == "done"
    assert fine.threads == 2 and not waiting.done()
    away.back.set()
    assert await waiting == "done"


async def test_what_work_raises_reaches_whoever_waits() -> None:
    def begin() -> Callable[[], str]:
        def work() -> str:
            raise OSError("stale file handle")

        return work

    with pytest.raises(OSError, match="stale"):
        await OneAtATime[str](LONG).run("disk", "disk", begin)
