"""Rate limit for changes that a launcher reports: a burst, then a steady rate. Pure; used by link.py.

Each change may cause a request to the API server, and the guest's side controls the launcher. A launcher that reports
changes all the time must not load the cluster.
"""

from __future__ import annotations


class Allowance:
    """A token bucket: `burst` changes at once, another every `interval` seconds. Times are monotonic."""

    def __init__(self, burst: int, interval: float) -> None:
        self._tolerance = burst * interval
        self._interval = interval
        self._due = 0.0  # when the bucket is full again

    def take(self, now: float) -> float:
        """Take a token. Returns the seconds to wait before the next one."""
        self._due = max(self._due, now) + self._interval
        return max(0.0, self._due - now - self._tolerance)
