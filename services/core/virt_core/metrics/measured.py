"""What a component answers to Prometheus, measured now and then. Used by server.py and by virt-api's routes.

The port asks nobody who he is, so an answer is kept for some seconds, longer if it costs much of the processor. It is
written in a thread: the text of a big cluster takes a second.
"""

from __future__ import annotations

import asyncio
import importlib
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FRESH, _REST = 5.0, 20  # seconds between two measurements, and how many times the processor's time of one
_EXPOSITION = "virt_core.metrics.exposition"
Measure: TypeAlias = "Callable[[], Awaitable[Iterable[Metric]]]"


class Measured:
    """The text of `measure()` and of the process's own metrics. `measure` is called when the library is imported;
    `clock` and `used`, the processor's time of this process, are in seconds."""

    def __init__(
        self,
        measure: Measure,
        clock: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.process_time,
    ) -> None:
        self._measure = measure
        self._clock = clock
        self._used = used
        self._measuring: asyncio.Task[None] | None = None
        self._body = b""
        self._fresh_until = -math.inf

    async def body(self) -> bytes:
        """The answer's. Whoever asks while it is measured gets the same. A measurement goes on when who asked has given
        up, so that one that takes too long for him is there when he asks again."""
        if self._measuring is None and self._clock() >= self._fresh_until:
            self._measuring = asyncio.create_task(self._renew(), name="metrics")
        if self._measuring is not None:
            await asyncio.shield(self._measuring)
        return self._body

    async def _renew(self) -> None:
        """To wait costs nothing: a launcher that hangs must not make the numbers of its node old."""
        before = self._used()
        try:
            self._body = await self._measured()
        finally:
            self._measuring = None
        self._fresh_until = self._clock() + max(_FRESH, _REST * (self._used() - before))

    async def _measured(self) -> bytes:
        exposition = await asyncio.to_thread(importlib.import_module, _EXPOSITION)
        families = [*await self._measure(), *exposition.process()]
        body: bytes = await asyncio.to_thread(exposition.text, families)
        return body
