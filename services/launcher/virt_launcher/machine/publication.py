"""Publishes the newest state of the machine, or of its migration, to readers. Written by keeper.py and
migration/source.py, read by the servicers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from google.protobuf.message import Message

State = TypeVar("State", bound=Message)


class Publication(Generic[State]):
    """A value that is replaced. Slow readers miss intermediate values, but never the newest.

    `revision` rises with each change and is 0 until the first state is known. `closed` says whether the newest state is
    the last one. `readers` is the number of readers that follow the state.
    """

    def __init__(self, initial: State) -> None:
        self.revision = 0
        self.closed = False
        self.readers = 0
        self._state = initial
        self._changed = asyncio.Condition()

    async def publish(self, state: State) -> None:
        """Replace the state, if it differs."""
        if self.revision and state == self._state:
            return
        async with self._changed:
            self._state = state
            self.revision += 1
            self._changed.notify_all()

    async def close(self) -> None:
        """Publish nothing more: readers with the newest state stop waiting."""
        async with self._changed:
            self.closed = True
            self._changed.notify_all()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count as a reader inside."""
        self.readers += 1
        try:
            yield
        finally:
            self.readers -= 1

    @property
    def state(self) -> State:
        """The newest state. Not to be changed by readers."""
        return self._state

    async def newer_than(self, revision: int) -> bool:
        """Wait until there is a state after `revision`. False if there will be none."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.revision > revision or self.closed)
            return self.revision > revision

    async def until(self, accepted: Callable[[State], bool]) -> None:
        """Wait until the newest state is accepted."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.revision > 0 and accepted(self._state))

    async def revisions(self, *, heartbeat: float, lifetime: float) -> AsyncGenerator[int, None]:
        """The newest revision, after each change and at least every `heartbeat` seconds.

        Ends after `lifetime` seconds, or when there will be no newer state.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + lifetime
        with self.reading():
            more = await self.newer_than(0)
            while more and loop.time() < end:
                revision = self.revision
                yield revision
                try:
                    async with asyncio.timeout(min(heartbeat, max(0.0, end - loop.time()))):
                        more = await self.newer_than(revision)
                except TimeoutError:
                    continue
