"""What this leader has seen of each copy, by its own clock. Used by reconcile.py, read by stall.py.

The times in migrationState are a handler's, and those in the migration may be another leader's: their clocks may be
minutes away from this one's. So what counts is when the numbers have changed here. A new leader counts from its first
look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

_NOT_NUMBERS = ("timestamp", "expectedEnd")


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy as this leader has seen it until now."""

    elapsed: float = 0.0
    """Seconds since its first look."""

    quiet: float = 0.0
    """Seconds since it saw progress, or since its first look."""

    moved: bool = False
    """Whether it has seen progress since its first look."""


@dataclass(frozen=True, slots=True)
class _Sight:
    migration: str
    numbers: Mapping[str, Any]
    first: float
    last: float
    """When the numbers were first as they are."""


class Copies:
    """By namespace and name of the migration. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sights: dict[tuple[str, str], _Sight] = {}

    def look(self, key: tuple[str, str], uid: str, progress: object) -> Copy:
        """Note the progress as stored, of the migration of this UID."""
        now = self._clock()
        shown = progress if isinstance(progress, dict) else {}
        numbers = {name: value for name, value in shown.items() if name not in _NOT_NUMBERS}
        sight = self._sights.get(key)
        if sight is None or sight.migration != uid:
            sight = _Sight(uid, numbers, now, now)
        elif sight.numbers != numbers:
            sight = replace(sight, numbers=numbers, last=now)
        self._sights[key] = sight
        return Copy(now - sight.first, now - sight.last, sight.last > sight.first)

    def forget(self, key: tuple[str, str]) -> None:
        """The migration is over."""
        self._sights.pop(key, None)
