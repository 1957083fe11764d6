"""The changes that watches replay. Used by store.py.

Every write has its own resourceVersion, as in etcd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from virt_core.testing.place import Place

Object = dict[str, Any]
Matches = Callable[[Object], bool]


@dataclass(frozen=True, slots=True)
class _Change:
    version: int
    place: Place | None  # None: a bookmark, for every watch
    before: Object | None
    after: Object | None


class History:
    """Changes in order, until they are compacted."""

    def __init__(self) -> None:
        self.version = 100  # not 0, which means "any" on the wire
        self.oldest = 0
        self._changes: list[_Change] = []

    def add(self, place: Place, before: Object | None, after: Object | None) -> None:
        """Record a change of this version."""
        self._changes.append(_Change(self.version, place, before, after))

    def bookmark(self) -> None:
        """A new version without a change of any object, sent to every watch."""
        self.version += 1
        self._changes.append(_Change(self.version, None, None, None))

    def compact(self) -> None:
        """Forget the changes: a watch from any version until now is too old."""
        self.version += 1
        self.oldest = self.version
        self._changes.clear()

    def events(self, collection: Place, since: int, matches: Matches) -> Iterator[Object]:
        """The watch events after version `since`. An object that ceases to match is sent as deleted."""
        for change in self._changes:
            if change.version <= since:
                continue
            version = str(change.version)
            if change.place is None:
                yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}}
            elif collection.holds(change.place):
                before = change.before if change.before is not None and matches(change.before) else None
                after = change.after if change.after is not None and matches(change.after) else None
                if after is not None:
                    yield {"type": "MODIFIED" if before is not None else "ADDED", "object": after}
                elif before is not None:
                    metadata = {**before["metadata"], "resourceVersion": version}
                    yield {"type": "DELETED", "object": {**before, "metadata": metadata}}
