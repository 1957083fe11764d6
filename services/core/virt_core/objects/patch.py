"""JSON patches that change only what was planned and fail if their precondition has changed. Pure.

A VirtualMachineInstance has no status subresource and several writers: each writes the difference between what it saw
and what it wants. The patch tests the object's UID, the old value of each key that it replaces and, if it
adds a key, by the object's version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from virt_core.objects.meta import ObjectMeta

Operation = dict[str, Any]


def pointer(*parts: str) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def guarded_patch(meta: ObjectMeta, before: Mapping[str, Any], after: Mapping[str, Any], *at: str) -> list[Operation]:
    """The patch that turns the mapping `before` into `after` at the path `at`, key by key; empty if they are equal.

    The patch tests the old value of each key that it replaces or removes. A JSON patch cannot test that a key is
    absent, and `add` overwrites a key that another writer added: a patch that adds a key tests the object's
    resourceVersion.
    """
    operations: list[Operation] = []
    for key in sorted(before.keys() | after.keys()):
        path = pointer(*at, key)
        if key not in after:
            operations += [{"op": "test", "path": path, "value": before[key]}, {"op": "remove", "path": path}]
        elif key not in before:
            operations.append({"op": "add", "path": path, "value": after[key]})
        elif before[key] != after[key]:
            operations += [
                {"op": "test", "path": path, "value": before[key]},
                {"op": "replace", "path": path, "value": after[key]},
            ]
    if not operations:
        return []
    guards = [{"op": "test", "path": "/metadata/uid", "value": meta.uid}]
    if any(operation["op"] == "add" for operation in operations):
        guards.append({"op": "test", "path": "/metadata/resourceVersion", "value": meta.resource_version})
    return [*guards, *operations]


def status_patch(meta: ObjectMeta, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Operation]:
    """The guarded patch from the stored status, empty if there is none, to `after`; empty if they are equal."""
    if before:
        return guarded_patch(meta, before, after, "status")
    return guarded_patch(meta, {}, {"status": dict(after)}) if after else []


def finalizers_patch(meta: ObjectMeta, finalizers: list[str]) -> list[Operation]:
    """The guarded patch from the object's finalizers to `finalizers`; empty if they are equal."""
    before = {"finalizers": meta.finalizers} if meta.finalizers else {}
    return guarded_patch(meta, before, {"finalizers": finalizers}, "metadata")
