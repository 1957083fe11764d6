"""What a fake API server holds: objects of any collection and the history that watches replay. Knows no HTTP.

Every write has a resourceVersion of its own, as in etcd. Called by api_server.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from virt_core.objects.meta import rfc3339
from virt_core.testing.patches import PatchFailed, json_patch, merge_patch

Object = dict[str, Any]
Matches = Callable[[Object], bool]


class Refused(Exception):
    """The answer is a Status of this code, reason and message."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message


@dataclass(frozen=True, slots=True)
class Place:
    """A collection, for example root "/api/v1" and plural "pods", or one object in it."""

    root: str
    plural: str
    namespace: str = ""
    """Empty for cluster-scoped objects, and for a collection over all namespaces."""
    name: str = ""

    @classmethod
    def parse(cls, path: str) -> Place:
        """The place that a URL path names; subresources are the object itself."""
        parts = path.strip("/").split("/")
        size = 2 if parts[0] == "api" else 3
        root, rest = "/" + "/".join(parts[:size]), parts[size:]
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        return cls(root, rest[0], namespace, rest[1] if len(rest) > 1 else "")

    def holds(self, other: Place) -> bool:
        """Whether the object `other` is in this collection."""
        same = (self.root, self.plural) == (other.root, other.plural)
        return same and self.namespace in ("", other.namespace)


@dataclass(frozen=True, slots=True)
class _Change:
    version: int
    place: Place | None  # None: a bookmark, for every watch
    before: Object | None
    after: Object | None


class Store:
    """Objects by place."""

    def __init__(self) -> None:
        self.version = 100  # not 0, which means "any" on the wire
        self.oldest = 0
        self._objects: dict[Place, Object] = {}
        self._history: list[_Change] = []

    def select(self, collection: Place, matches: Matches) -> list[Object]:
        """All objects of the collection that match, by namespace and name."""
        found = [place for place, body in self._objects.items() if collection.holds(place) and matches(body)]
        return [self._objects[place] for place in sorted(found, key=lambda each: (each.namespace, each.name))]

    def get(self, place: Place) -> Object:
        """The object, or 404."""
        try:
            return self._objects[place]
        except KeyError:
            raise Refused(404, "NotFound", f'{place.plural} "{place.name}" not found') from None

    def create(self, collection: Place, body: Object) -> Object:
        """The object with the metadata that the server gives it, or 409 AlreadyExists."""
        name = body["metadata"]["name"]
        place = Place(collection.root, collection.plural, collection.namespace, name)
        if place in self._objects:
            raise Refused(409, "AlreadyExists", f'{place.plural} "{name}" already exists')
        given = {"uid": str(uuid.uuid4()), "creationTimestamp": rfc3339(datetime.now(UTC))}
        if place.namespace:
            given["namespace"] = place.namespace
        return self._write(place, {**body, "metadata": {**body["metadata"], **given}})

    def json_patch(self, place: Place, operations: list[Mapping[str, Any]]) -> Object:
        """The object after the patch; 422 if it does not apply, in the words of the real server."""
        before = self.get(place)
        try:
            return self._write(place, json_patch(before, operations))
        except PatchFailed as error:
            message = "the server rejected our request due to an error in our request"
            raise Refused(422, "Invalid", message) from error

    def merge_patch(self, place: Place, body: Object) -> Object:
        """The object after the patch; 409 if the patch names another resourceVersion than the object has."""
        before = self.get(place)
        wanted = body.get("metadata", {}).get("resourceVersion")
        if wanted not in (None, before["metadata"]["resourceVersion"]):
            text = "the object has been modified; please apply your changes to the latest version and try again"
            raise Refused(409, "Conflict", _cannot(place, text))
        return self._write(place, merge_patch(before, body))

    def delete(self, place: Place, uid: str | None = None) -> None:
        """Remove the object at once; 409 if it has another uid."""
        body = self.get(place)
        actual = body["metadata"]["uid"]
        if uid not in (None, actual):
            text = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {actual}"
            raise Refused(409, "Conflict", _cannot(place, text))
        self._write(place, None)

    def bookmark(self) -> None:
        """A new version without a change of any object, told to every watch."""
        self.version += 1
        self._history.append(_Change(self.version, None, None, None))

    def compact(self) -> None:
        """Forget the history: a watch from any version seen until now is too old."""
        self.version += 1
        self.oldest = self.version
        self._history.clear()

    def events(self, collection: Place, since: int, matches: Matches) -> Iterator[Object]:
        """The watch events after version `since`. An object that ceases to match is told as deleted."""
        for change in self._history:
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

    def _write(self, place: Place, body: Object | None) -> Object:
        before = self._objects.pop(place, None)
        if body is not None and before is not None and body == before:
            self._objects[place] = before  # the real server writes nothing either
            return before
        self.version += 1
        after = None
        if body is not None:
            after = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
            self._objects[place] = after
        self._history.append(_Change(self.version, place, before, after))
        return after or {}


def _cannot(place: Place, text: str) -> str:
    return f'Operation cannot be fulfilled on {place.plural} "{place.name}": {text}'
