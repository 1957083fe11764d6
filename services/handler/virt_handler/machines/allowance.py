"""Rate limit for a launcher's messages: a burst, then a steady rate. Pure; used by link.py.

Each message costs the handler time, and a change may cause a request to the API server. The guest's side controls the
launcher: one that sends all the time must load neither the cluster nor the handler, on which other guests depend.
"""

from __future__ import annotations


class Allowance:
    """A token bucket: `burst` messages at once, another every `interval` seconds. Times are monotonic."""

    def __init__(self, burst: int, interval: float) -> None:
        self._tolerance = burst * interval
        self._interval = interval
        self._due = 0.0  # when the bucket is full again

    def take(self, now: float) -> float:
        """Take a token. Returns the seconds to wait before the next one."""
        self._due = max(self._due, now) + self._interval
        return max(0.0, self._due - now - self._tolerance)
