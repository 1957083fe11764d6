"""How often a launcher is listened to: some changes at once, then one now and then. Pure; used by link.py.

Each change may become a request to the API server, and a launcher is the guest's side: one that never stops changing
its mind must cost the cluster no more than a few others do.
"""

from __future__ import annotations


class Allowance:
    """`burst` changes at once, one more every `interval` seconds. Times are a monotonic clock's."""

    def __init__(self, burst: int, interval: float) -> None:
        self._tolerance = burst * interval
        self._interval = interval
        self._due = 0.0  # when all that was taken is made up for

    def take(self, now: float) -> float:
        """Take one; the seconds to wait before the next."""
        self._due = max(self._due, now) + self._interval
        return max(0.0, self._due - now - self._tolerance)
