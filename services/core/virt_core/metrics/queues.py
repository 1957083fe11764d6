"""Counts of a queue of keys, and which queues run in this process. Kept by kube/queue.py, shown by plumbing.py; times
are the event loop's."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from virt_core.metrics.histogram import Histogram

_BOUNDS = (1e-08, 1e-07, 1e-06, 1e-05, 0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)  # KubeVirt's


class QueueCounts:
    """Of one queue."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.adds = 0
        self.retries = 0
        self.waited = Histogram((), _BOUNDS)
        """Seconds from the addition of a key until a worker takes it."""

        self.worked = Histogram((), _BOUNDS)
        """Seconds of a worker for a key."""

        self._waiting: dict[Hashable, float] = {}
        self._working: dict[Hashable, float] = {}

    @property
    def depth(self) -> int:
        """How many keys wait for a worker."""
        return len(self._waiting)

    def add(self, key: Hashable, now: float) -> None:
        """A key waits for a worker."""
        self.adds += 1
        self._waiting[key] = now

    def begin(self, key: Hashable, now: float) -> None:
        """A worker has taken it."""
        self.waited.observe((), now - self._waiting.pop(key, now))
        self._working[key] = now

    def end(self, key: Hashable, now: float) -> None:
        """The worker is through with it."""
        self.worked.observe((), now - self._working.pop(key, now))

    def retry(self) -> None:
        """A key has failed and is to be reconciled again."""
        self.retries += 1

    def forget(self) -> None:
        """Nobody works any more."""
        self._waiting.clear()
        self._working.clear()

    def unfinished(self, now: float) -> list[float]:
        """Since how many seconds each worker has had its key."""
        return [now - began for began in self._working.values()]


_running: dict[int, QueueCounts] = {}


@contextmanager
def counted(counts: QueueCounts) -> Iterator[None]:
    """The queue runs: running() has its counts."""
    _running[id(counts)] = counts
    try:
        yield
    finally:
        del _running[id(counts)]


def running() -> list[QueueCounts]:
    """Counts of all queues that run in this process. They are created deep in the services' parts."""
    return list(_running.values())
