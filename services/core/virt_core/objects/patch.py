"""JSON patches that change only what was planned and fail if what they rest on has changed. Pure.

A VirtualMachineInstance has no status subresource and several writers: each writes the difference between what it saw
and what it wants, guarded by the object's UID and by the old value of each key it replaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Operation = dict[str, Any]


def pointer(*parts: str) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def guarded_patch(uid: str, before: Mapping[str, Any], after: Mapping[str, Any], *at: str) -> list[Operation]:
    """The patch that turns the mapping `before` into `after` at the path `at`, key by key; empty if they are equal.

    Keys replaced or removed are tested to hold the old value. Keys added cannot be tested to be absent, so a writer
    that may race for one must also change a key that both would change (the phase).
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
    return [{"op": "test", "path": "/metadata/uid", "value": uid}, *operations]
