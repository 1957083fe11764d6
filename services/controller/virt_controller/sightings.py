"""How long this process has seen things as they are, by its own clock. Used by node/ and vmi/reconcile.py.

A time that another machine wrote may be minutes away from this one's clock, so its age says nothing. What counts is
when the value has changed here. A new process counts from its first look.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Sightings(Generic[K]):
    """Values by key. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[K, tuple[Hashable, float]] = {}

    def look(self, key: K, value: Hashable) -> None:
        """Note the value; None: there is nothing any more."""
        if value is None:
            self._seen.pop(key, None)
        elif key not in self._seen or self._seen[key][0] != value:
            self._seen[key] = value, self._clock()

    def seconds(self, key: K) -> float:
        """How long the value has been as it is; 0 if there is none."""
        return self._clock() - self._seen[key][1] if key in self._seen else 0.0
