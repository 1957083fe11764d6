"""Counts the open streams of this process by guest, for Prometheus. Kept by streams.py, shown by metrics.py.

When somebody was last connected is known for the newest guests only: it is kept in memory.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Guest = tuple[str, str]
"""Namespace and name."""

_MOST_REMEMBERED = 1000


class Connections:
    """Streams by subresource, "console", "vnc" or "portforward", and guest. `clock` is in seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.open: Counter[tuple[str, Guest]] = Counter()
        self.last: dict[Guest, float] = {}
        """When somebody connected to the guest, or left it."""

    @contextmanager
    def counted(self, subresource: str, guest: Guest) -> Iterator[None]:
        """A stream is open for the time of the block."""
        kind = subresource, guest
        self.open[kind] += 1
        self._remember(guest)
        try:
            yield
        finally:
            self._remember(guest)
            self.open[kind] -= 1
            if not self.open[kind]:
                del self.open[kind]

    def _remember(self, guest: Guest) -> None:
        self.last.pop(guest, None)
        self.last[guest] = self._clock()
        if len(self.last) > _MOST_REMEMBERED:
            del self.last[next(iter(self.last))]
