"""The objects of a cache by something that many of them share, e.g. a node. Part of caches.py.

An event of a node or a namespace concerns few objects of thousands: nobody walks over all of them for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from virt_core.kube.reflector import HasMetadata, Key, Reflector

T = TypeVar("T", bound=HasMetadata)


class Index(Generic[T]):
    """`groups(object)` are those that an object is in, none for example. Make it before others subscribe to the cache,
    so that it is as new as what they are told."""

    def __init__(self, cache: Reflector[T], groups: Callable[[T], Iterable[str]]) -> None:
        self._cache = cache
        self._groups = groups
        self._in: dict[Key, tuple[str, ...]] = {}  # a set weighs four times as much
        self._members: dict[str, dict[Key, None]] = {}
        cache.subscribe(self._changed)

    def of(self, group: str) -> tuple[T, ...]:
        """The objects of a group, those that came first first."""
        return self._get(self._members.get(group, ()))

    def sole(self, group: str) -> Key | None:
        """The key of the object that is alone in a group; None if there are several or none."""
        members = self._members.get(group, {})
        return next(iter(members)) if len(members) == 1 else None

    def __iter__(self) -> Iterator[T]:
        """Every object that is in a group."""
        return iter(self._get(tuple(self._in)))

    def _get(self, keys: Iterable[Key]) -> tuple[T, ...]:
        return tuple(found for key in keys if (found := self._cache.get(key)) is not None)

    def _changed(self, key: Key) -> None:
        found = self._cache.get(key)
        before, after = set(self._in.pop(key, ())), set(self._groups(found) if found is not None else ())
        if after:
            self._in[key] = tuple(after)
        for group in before - after:
            members = self._members[group]
            del members[key]
            if not members:
                del self._members[group]
        for group in after - before:
            self._members.setdefault(group, {})[key] = None
