"""The storage of the fake API server: objects of any collection, with the API server's write semantics. Knows no HTTP.

Called by api_server.py for requests, and by tests in place of kubelets and other controllers.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from virt_core.objects.meta import rfc3339
from virt_core.testing.apply import applied
from virt_core.testing.history import History, Matches, Object
from virt_core.testing.kinds import BUILT_IN, Kind, custom_kind
from virt_core.testing.managed_fields import Manager, managed_fields, owners_after_update
from virt_core.testing.patches import PatchFailed, json_patch, merge_patch
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused
from virt_core.testing.writes import Deletion, Part, created, deleted, is_gone, updated

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1"
_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


@dataclass(frozen=True, slots=True)
class Writer:
    """The writer, and the part of an object that it may write. The default is a test, which may write everything."""

    manager: str = "test"
    part: Part = Part.WHOLE
    dry_run: bool = False
    """Return the object that would be stored, and store nothing."""


_TEST = Writer()
_DEFAULTS = Deletion()


class Store:
    """Objects by place."""

    def __init__(self) -> None:
        self._history = History()
        self._objects: defaultdict[tuple[str, str], dict[Place, Object]] = defaultdict(dict)  # by root and plural

    @property
    def version(self) -> int:
        """The newest resourceVersion."""
        return self._history.version

    @property
    def oldest(self) -> int:
        """Watches from earlier versions are too old."""
        return self._history.oldest

    def select(self, collection: Place, matches: Matches) -> list[Object]:
        """All objects of the collection that match, by namespace and name."""
        objects = self._of_kind(collection)
        found = [place for place, body in objects.items() if collection.holds(place) and matches(body)]
        return [objects[place] for place in sorted(found, key=lambda place: (place.namespace, place.name))]

    def get(self, place: Place) -> Object:
        """The object, or 404."""
        try:
            return self._of_kind(place)[place]
        except KeyError:
            raise Refused(404, "NotFound", f'{place.plural} "{place.name}" not found') from None

    def create(self, collection: Place, body: Object, writer: Writer = _TEST) -> Object:
        """The object with the metadata that the server sets, or 409 AlreadyExists."""
        name = body["metadata"].get("name") or body["metadata"]["generateName"] + secrets.token_hex(3)[:5]
        place = Place(collection.root, collection.plural, collection.namespace, name)
        if place in self._of_kind(place):
            raise Refused(409, "AlreadyExists", f'{place.plural} "{name}" already exists')
        kind, now = self._kind(place), datetime.now(UTC)
        after = created(kind, body, place, writer.part, now)
        return self._owned(place, kind, {"metadata": {}}, after, writer)

    def json_patch(self, place: Place, operations: list[Mapping[str, Any]], writer: Writer = _TEST) -> Object:
        """The object after the patch; 422 if it does not apply, in the words of the real server."""
        before = self.get(place)
        try:
            return self._update(place, json_patch(before, operations), writer)
        except PatchFailed as error:
            message = "the server rejected our request due to an error in our request"
            raise Refused(422, "Invalid", message) from error

    def merge_patch(self, place: Place, body: Object, writer: Writer = _TEST) -> Object:
        """The object after the patch; 409 if the patch names another resourceVersion than the object has."""
        before = self.get(place)
        _refuse_other_version(place, before, body.get("metadata", {}).get("resourceVersion"))
        return self._update(place, merge_patch(before, body), writer)

    def apply(self, place: Place, configuration: Object, writer: Writer, force: bool) -> Object:
        """The object after server-side apply, which creates it if it is absent; 409 on a conflict without `force`."""
        kind, now = self._kind(place), datetime.now(UTC)
        if configuration["metadata"].get("managedFields"):
            raise Refused(400, "BadRequest", "metadata.managedFields must be nil")
        live = self._of_kind(place).get(place)
        if live is not None:
            _refuse_other_version(place, live, configuration["metadata"].get("resourceVersion"))
        if kind.status and writer.part is Part.OBJECT:
            configuration = {name: value for name, value in configuration.items() if name != "status"}
        manager = Manager(writer.manager, "Apply", place.api_version, _subresource(writer))
        base = live or {"metadata": {}}
        after = applied(kind, base, configuration, manager=manager, force=force, now=rfc3339(now))
        fields = after["metadata"]["managedFields"]
        if live is None:
            stored = created(kind, after, place, writer.part, now)
        else:
            stored = updated(kind, live, after, writer.part)
        stored["metadata"]["managedFields"] = fields
        return self._write(place, stored, writer)

    def delete(self, place: Place, options: Deletion = _DEFAULTS, dry_run: bool = False) -> Object:
        """The object after the request, which removes it if nothing keeps it; 409 if it has another uid or version."""
        body = self.get(place)
        metadata = body["metadata"]
        for what, wanted, actual in (
            ("UID", options.uid, metadata["uid"]),
            ("ResourceVersion", options.version, metadata["resourceVersion"]),
        ):
            if wanted not in (None, actual):
                text = f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {actual}"
                raise Refused(409, "Conflict", _cannot(place, text))
        after = deleted(self._kind(place), body, options, datetime.now(UTC))
        if dry_run:
            return after or body
        if after is None:
            self._remove(place, body)
            return body
        return self._write(place, after, _TEST)

    def remove(self, place: Place) -> None:
        """Remove the object, whatever keeps it; 404 if it is not there."""
        self._remove(place, self.get(place))

    def bookmark(self) -> None:
        """A new version without a change of any object, sent to every watch."""
        self._history.bookmark()

    def compact(self) -> None:
        """Forget the history: a watch from any version until now is too old."""
        self._history.compact()

    def events(self, collection: Place, since: int, matches: Matches) -> Iterator[Object]:
        """The watch events after version `since`."""
        return self._history.events(collection, since, matches)

    def _of_kind(self, place: Place) -> dict[Place, Object]:
        return self._objects[place.root, place.plural]

    def _kind(self, place: Place) -> Kind:
        name = f"{place.plural}.{place.group}"
        defined = Place(_DEFINITIONS, "customresourcedefinitions", name=name)
        definition = self._of_kind(defined).get(defined)
        if definition is not None:
            return custom_kind(definition, place.version)
        return BUILT_IN.get((place.group, place.plural), Kind())

    def _update(self, place: Place, after: Object, writer: Writer) -> Object:
        kind, before = self._kind(place), self.get(place)
        after = updated(kind, before, after, writer.part)
        return self._owned(place, kind, before, after, writer)

    def _owned(self, place: Place, kind: Kind, before: Object, after: Object, writer: Writer) -> Object:
        manager = Manager(writer.manager, "Update", place.api_version, _subresource(writer))
        owners = owners_after_update(kind, before, after, manager, rfc3339(datetime.now(UTC)))
        return self._write(
            place, {**after, "metadata": {**after["metadata"], "managedFields": managed_fields(owners)}}, writer
        )

    def _write(self, place: Place, body: Object, writer: Writer) -> Object:
        before = self._of_kind(place).get(place)
        if body == before:
            return before  # the real server writes nothing either
        if writer.dry_run:
            return body
        if is_gone(body):
            self._remove(place, body)
            return body
        self._history.version += 1
        after = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        self._of_kind(place)[place] = after
        self._history.add(place, before, after)
        return after

    def _remove(self, place: Place, last: Object) -> None:
        del self._of_kind(place)[place]
        self._history.version += 1
        self._history.add(place, last, None)


def _subresource(writer: Writer) -> str:
    return "status" if writer.part is Part.STATUS else ""


def _refuse_other_version(place: Place, live: Object, wanted: str | None) -> None:
    if wanted not in (None, live["metadata"]["resourceVersion"]):
        raise Refused(409, "Conflict", _cannot(place, _MODIFIED))


def _cannot(place: Place, text: str) -> str:
    return f'Operation cannot be fulfilled on {place.plural} "{place.name}": {text}'
