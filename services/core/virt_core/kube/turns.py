"""Which key of a work queue goes next. Pure; used by queue.py."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
_IN_A_ROW = 3


class Turns(Generic[K]):
    """Keys that wait, each once. Urgent ones go first, and in each of the two groups those that came first. After three
    urgent ones another one has its turn, so that none waits for ever."""

    def __init__(self) -> None:
        self._urgent: OrderedDict[K, None] = OrderedDict()
        self._others: OrderedDict[K, None] = OrderedDict()
        self._in_a_row = 0

    def __len__(self) -> int:
        return len(self._urgent) + len(self._others)

    def add(self, key: K, *, urgent: bool) -> bool:
        """Let the key wait, or make one urgent that waits already. Returns whether it is new."""
        if key in self._urgent:
            return False
        waits = key in self._others
        if urgent:
            self._others.pop(key, None)
            self._urgent[key] = None
        elif not waits:
            self._others[key] = None
        return not waits

    def take(self) -> K:
        """The next key, which waits no longer. Raises KeyError: none waits."""
        is_urgent = bool(self._urgent) and (not self._others or self._in_a_row < _IN_A_ROW)
        self._in_a_row = self._in_a_row + 1 if is_urgent else 0
        key, _ = (self._urgent if is_urgent else self._others).popitem(last=False)
        return key
