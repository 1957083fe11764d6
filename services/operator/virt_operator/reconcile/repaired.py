"""What is known of the repairs that this process has made. Filled by execute.py and inventory.py; suite/repairs.py
decides what it means."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from virt_operator.strategy.ref import Body, Ref
from virt_operator.suite.observed import OwnedObject, Repair
from virt_operator.suite.repairs import after_creation, after_repair, before_recreation, is_recreation


class Repaired:
    """The last repair of each object. `now()` is in UTC."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.by_ref: dict[Ref, Repair] = {}
        self._now = now

    def replaced(self, ref: Ref, desired: Body, live: OwnedObject, answer: Body) -> None:
        """`desired` has replaced `live`; `answer` is the API server's."""
        self.by_ref[ref] = after_repair(self.by_ref.get(ref), desired, live, _decoded(answer), self._now())

    def deleting(self, ref: Ref, desired: Body, live: OwnedObject) -> None:
        """`live` is about to be deleted, because `desired` cannot replace it."""
        self.by_ref[ref] = before_recreation(self.by_ref.get(ref), desired, live, self._now())

    def created(self, ref: Ref, desired: Body, answer: Body) -> None:
        """The object was absent; `answer` is the API server's to its creation."""
        if (before := self.by_ref.get(ref)) is not None and is_recreation(before):
            self.by_ref[ref] = after_creation(before, desired, _decoded(answer))

    def gone(self, ref: Ref) -> None:
        """The object is absent. Forget its repair, unless that has deleted it."""
        if (repair := self.by_ref.get(ref)) is not None and not is_recreation(repair):
            del self.by_ref[ref]


def _decoded(answer: Body) -> OwnedObject:
    return msgspec.json.decode(msgspec.json.encode(answer), type=OwnedObject)
