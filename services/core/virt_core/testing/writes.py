"""What a write makes of an object: identity, status subresource, generation, deletion. Pure; called by store.py.

Graceful deletion is that of pods: a pod on a node waits for its kubelet, which deletes it with grace 0. Nothing
collects garbage by owner references.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from virt_core.objects.meta import rfc3339
from virt_core.testing.kinds import Kind
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused

Object = dict[str, Any]
_OF_DELETION = ("deletionTimestamp", "deletionGracePeriodSeconds")
_IDENTITY = ("name", "namespace", "uid", "generation", "resourceVersion", "managedFields")
_POD_GRACE = 30  # seconds, Kubernetes' default of terminationGracePeriodSeconds


class Part(Enum):
    """What a write may change."""

    OBJECT = "all but the status, where the kind has a status subresource"
    STATUS = "the status"
    WHOLE = "everything, times included: a test's own writes"


@dataclass(frozen=True, slots=True)
class Deletion:
    """The options of a delete request."""

    uid: str | None = None
    version: str | None = None
    grace: int | None = None
    """Seconds."""


def created(kind: Kind, body: Object, place: Place, part: Part, now: datetime) -> Object:
    """The object with the metadata that the server sets."""
    metadata = {"uid": str(uuid.uuid4()), "creationTimestamp": rfc3339(now), **body["metadata"], "name": place.name}
    if part is not Part.WHOLE:
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": rfc3339(now)}
        for absent in _OF_DELETION:
            metadata.pop(absent, None)
    for absent in ("generation", "resourceVersion", "managedFields"):
        metadata.pop(absent, None)
    if place.namespace:
        metadata["namespace"] = place.namespace
    if kind.generations:
        metadata["generation"] = 1
    stored = {**body, "metadata": metadata}
    if kind.status and part is Part.OBJECT:
        stored.pop("status", None)
    if kind.graceful:
        stored = {**stored, "status": {"phase": "Pending", **stored.get("status", {})}}
    return stored


def updated(kind: Kind, before: Object, after: Object, part: Part) -> Object:
    """`after` as far as a write of that part may change `before`.

    Raises:
        Refused: a finalizer is added to an object that is being deleted, or a time of deletion is written.
    """
    if kind.status and part is Part.STATUS:
        annotations = after["metadata"].get("annotations", {})
        after = _with_status(before, after)
        if kind.status_annotates and annotations:
            after["metadata"] = {**after["metadata"], "annotations": annotations}
    elif kind.status and part is Part.OBJECT:
        after = _with_status(after, before)
    fixed: tuple[str, ...] = _IDENTITY
    if part is not Part.WHOLE:
        fixed = (*_IDENTITY, *_OF_DELETION, "creationTimestamp")
        _refuse_other_deletion(before["metadata"], after["metadata"])
        _refuse_new_finalizers(before["metadata"], after["metadata"])
    metadata = {name: value for name, value in after["metadata"].items() if name not in fixed}
    metadata |= {name: value for name, value in before["metadata"].items() if name in fixed}
    if not metadata.get("finalizers", True):
        del metadata["finalizers"]  # an empty list is not stored
    after = {**after, "metadata": metadata}
    if kind.generations and _counted(kind, before) != _counted(kind, after):
        metadata["generation"] = metadata.get("generation", 0) + 1
    return after


def deleted(kind: Kind, body: Object, options: Deletion, now: datetime) -> Object | None:
    """The object after a delete request, None if it goes at once."""
    metadata = body["metadata"]
    grace = _grace(kind, body, options)
    since = metadata.get("deletionGracePeriodSeconds")
    if since is None:
        marks: dict[str, Any] = {"deletionTimestamp": rfc3339(now + timedelta(seconds=grace))}
        if "generation" in metadata:
            marks["generation"] = metadata["generation"] + 1
    elif options.grace is not None and grace < since:
        end = datetime.fromisoformat(metadata["deletionTimestamp"]) + timedelta(seconds=grace - since)
        marks = {"deletionTimestamp": rfc3339(end.astimezone(UTC))}
    else:
        grace, marks = since, {}
    marks["deletionGracePeriodSeconds"] = grace
    after = {**body, "metadata": {**metadata, **marks}}
    return None if is_gone(after) else after


def is_gone(body: Mapping[str, Any]) -> bool:
    """Whether nothing keeps the object any longer: deletion began, its grace is over and no finalizer is left."""
    metadata = body["metadata"]
    ends = "deletionTimestamp" in metadata and not metadata.get("deletionGracePeriodSeconds")
    return ends and not metadata.get("finalizers")


def _grace(kind: Kind, body: Object, options: Deletion) -> int:
    spec, status = body.get("spec", {}), body.get("status", {})
    if not kind.graceful or not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    if options.grace is not None:
        return options.grace
    return int(spec.get("terminationGracePeriodSeconds", _POD_GRACE))


def _with_status(body: Object, other: Object) -> Object:
    body = {name: value for name, value in body.items() if name != "status"}
    return {**body, "status": other["status"]} if "status" in other else body


def _counted(kind: Kind, body: Object) -> Object:
    return {
        name: value for name, value in body.items() if name != "metadata" and not (kind.status and name == "status")
    }


def _refuse_other_deletion(before: Object, after: Object) -> None:
    marked = after.get("deletionTimestamp")
    if marked not in (None, before.get("deletionTimestamp")):
        text = f'metadata.deletionTimestamp: Invalid value: "{marked}": field is immutable'
        raise Refused(422, "Invalid", text)


def _refuse_new_finalizers(before: Object, after: Object) -> None:
    new = [name for name in after.get("finalizers", ()) if name not in before.get("finalizers", ())]
    if new and "deletionTimestamp" in before:
        text = "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted"
        raise Refused(422, "Invalid", f"{text}, found new finalizers {new}")
