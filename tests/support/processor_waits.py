"""How long guests' QEMUs wait for a processor of this machine, so that a busy machine is not taken for a disturbance.

Two processors emulate a dozen guests: a guest that nobody disturbs is silent for seconds now and then, because it waits
for its turn. A guest that is paused waits for nothing. Used by tests/e2e/guests.py.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from time import time

_EVERY = 0.2  # seconds
_moment = itemgetter(0)


class ProcessorWaits:
    """Of the processes' threads, sampled. The kernel counts them in nanoseconds, the second number in
    /proc/PID/task/TID/schedstat (Documentation/scheduler/sched-stats.rst)."""

    def __init__(self) -> None:
        self._samples: dict[int, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))

    def sample(self, pids: Iterable[int]) -> None:
        """Once, of all of them; a process that has ended has no more."""
        for pid in pids:
            for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                try:
                    waited = int(file.read_text().split()[1]) / 1e9
                except OSError:  # it ended while we looked
                    continue
                self.add(pid, file.parent.name, time(), waited)

    def add(self, pid: int, thread: str, moment: float, waited: float) -> None:
        """One number of one thread: the seconds that it has waited since it began."""
        self._samples[pid][thread].append((moment, waited))

    def between(self, pids: Iterable[int], start: float, end: float) -> float:
        """Seconds that the processes' threads waited, together, between two moments of this machine's clock, at most
        the whole time. To pass on a tick they need a processor one after the other."""
        found = (_growth(samples, start, end) for pid in pids for samples in self._samples[pid].values())
        return min(sum(found), end - start)


def _growth(samples: list[tuple[float, float]], start: float, end: float) -> float:
    first = max(bisect_right(samples, start, key=_moment) - 1, 0)
    last = min(bisect_left(samples, end, key=_moment), len(samples) - 1)
    return samples[last][1] - samples[first][1]


@contextmanager
def sampled(pids: Iterable[int]) -> Iterator[ProcessorWaits]:
    """Sample them while the context lasts."""
    waits, over, pids = ProcessorWaits(), threading.Event(), tuple(pids)

    def keep_sampling() -> None:
        while not over.is_set():
            waits.sample(pids)
            over.wait(_EVERY)

    thread = threading.Thread(target=keep_sampling, name="processor waits")
    thread.start()
    try:
        yield waits
    finally:
        over.set()
        thread.join()
