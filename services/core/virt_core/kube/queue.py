"""A queue of keys to reconcile. It holds a key at most once, gives a key to one worker at a time and retries failures
with back-off.

Reflectors add keys, a service's reconciler takes them. Used by controller, handler and operator. A standby keeps no
keys: a leader starts with all keys of the caches, so no key is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Generic, TypeVar

from virt_core import logs
from virt_core.kube.errors import Conflict, KubeError
from virt_core.kube.turns import Turns
from virt_core.metrics.queues import QueueCounts, counted

K = TypeVar("K", bound=Hashable)
_BACKOFF_FIRST, _BACKOFF_LAST = 0.05, 30.0


class Retry(Exception):
    """`reconcile` lacks something: reconcile the key again, with a delay that grows with each failure.

    `longest` bounds the delay in seconds, for failures that end soon and whose retry is cheap.
    """

    def __init__(self, message: str, *, longest: float = _BACKOFF_LAST) -> None:
        super().__init__(message)
        self.longest = longest


class WorkQueue(Generic[K]):
    """Keys for `reconcile(key)`, which returns the seconds after which to reconcile again, or None.

    Keys that are `urgent` when they are added go before others, see turns.py.
    """

    def __init__(self, name: str, urgent: Callable[[K], bool] = lambda _: False) -> None:
        self._name = name
        self._urgent = urgent
        self._working = False
        self._ready = asyncio.Semaphore(0)  # of each key in _waiting
        self._waiting: Turns[K] = Turns()
        self._running: set[K] = set()
        self._again: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self.counts = QueueCounts(name)
        self._log = logs.bound("virt_core.kube.queue", queue=name)

    def add(self, key: K) -> None:
        """Reconcile `key` as soon as a worker is free; if it is being reconciled, once more afterwards.

        No effect unless `run` is running: a standby must not collect keys that no worker takes.
        """
        if not self._working:
            return
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._running:
            self._again.add(key)
        elif self._waiting.add(key, urgent=self._is_urgent(key)):
            self.counts.add(key, asyncio.get_running_loop().time())
            self._ready.release()

    def _is_urgent(self, key: K) -> bool:
        """A defect in `urgent` costs a key its precedence; it neither loses the key nor ends who adds it."""
        try:
            return self._urgent(key)
        except Exception:
            self._log.error("adding a key after others after a defect", key=key, exc_info=True)
            return False

    def add_after(self, key: K, delay: float) -> None:
        """Reconcile `key` in `delay` seconds, or earlier if it is added before. No effect unless `run` is running."""
        if not self._working:
            return
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + delay:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(delay, self.add, key)

    def forgive(self, key: K) -> None:
        """Earlier failures of `key` delay its retries no longer: something else is requested of it."""
        self._failures.pop(key, None)

    async def run(
        self, reconcile: Callable[[K], Awaitable[float | None]], workers: int, *, first: Iterable[K] = ()
    ) -> None:
        """Work until cancelled. `first` are the keys in the caches at the start; later keys come by `add`."""
        self._working = True
        for key in first:
            self.add(key)
        try:
            with counted(self.counts):
                async with asyncio.TaskGroup() as group:
                    for number in range(workers):
                        group.create_task(self._work(reconcile), name=f"{self._name} worker {number}")
        finally:
            self._working = False
            self._forget()

    def _forget(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        for keys in (self._timers, self._running, self._again, self._failures):
            keys.clear()
        self._ready, self._waiting = asyncio.Semaphore(0), Turns()
        self.counts.forget()

    async def _work(self, reconcile: Callable[[K], Awaitable[float | None]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._ready.acquire()
            key = self._waiting.take()
            self._running.add(key)
            self.counts.begin(key, loop.time())
            delay = await self._reconcile_once(reconcile, key)
            self.counts.end(key, loop.time())
            self._running.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.add(key)
            elif delay is not None:
                self.add_after(key, delay)

    async def _reconcile_once(self, reconcile: Callable[[K], Awaitable[float | None]], key: K) -> float | None:
        try:
            delay = await reconcile(key)
        except Conflict as error:
            # The watch reports the conflicting change; the delay covers the case that it has already done so.
            self._log.debug("observing again after a conflict", key=key, reason=error.message)
            return self._backoff(key)
        except (KubeError, Retry) as error:
            delay = self._backoff(key, error.longest if isinstance(error, Retry) else _BACKOFF_LAST)
            self._log.warning("reconciling again after a failure", key=key, reason=str(error), delay=delay)
            return delay
        except Exception:
            delay = self._backoff(key)
            self._log.error("reconciling again after a defect", key=key, delay=delay, exc_info=True)
            return delay
        self._failures.pop(key, None)
        return delay

    def _backoff(self, key: K, longest: float = _BACKOFF_LAST) -> float:
        self.counts.retry()
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return float(min(_BACKOFF_FIRST * 2 ** min(failures - 1, 10), longest))
