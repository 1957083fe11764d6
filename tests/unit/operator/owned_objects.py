"""Everything with the suite's label in a fake API server. Read by world.py after each step of anybody."""

from __future__ import annotations

import msgspec
from virt_core.conventions import labels
from virt_core.testing.place import Place
from virt_core.testing.store import Store
from virt_operator.strategy.ref import KINDS, MANAGED_BY_OPERATOR, Body, Ref
from virt_operator.suite.observed import OwnedObject

_PLACES = {kind: Place.parse(resource.path()) for kind, resource in KINDS.items()}


class OwnedObjects:
    """Decodes each version of an object once, as the operator's inventory does."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._decoded: dict[Ref, OwnedObject] = {}
        self._listed: tuple[int, dict[Ref, OwnedObject]] = (-1, {})

    @property
    def by_ref(self) -> dict[Ref, OwnedObject]:
        """The newest versions."""
        version = self._store.version
        if version != self._listed[0]:
            self._listed = (version, self._list())
        return self._listed[1]

    def _list(self) -> dict[Ref, OwnedObject]:
        found = {}
        for kind, place in _PLACES.items():
            for body in self._store.select(place, lambda _: True):
                meta = body["metadata"]
                if meta.get("labels", {}).get(labels.MANAGED_BY) == MANAGED_BY_OPERATOR:
                    ref = Ref(kind, meta.get("namespace", ""), meta["name"])
                    found[ref] = self._read(ref, body)
        return found

    def _read(self, ref: Ref, body: Body) -> OwnedObject:
        known = self._decoded.get(ref)
        if known is None or known.metadata.resource_version != body["metadata"]["resourceVersion"]:
            known = self._decoded[ref] = msgspec.json.decode(msgspec.json.encode(body), type=OwnedObject)
        return known
