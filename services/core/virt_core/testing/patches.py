"""JSON patch (RFC 6902: test, add, replace, remove) and JSON merge patch (RFC 7386), as an API server applies them.

Pure; used by store.py and by tests of planned patches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec


class PatchFailed(Exception):
    """A test operation failed, or a path does not exist."""


def json_patch(document: Any, operations: Iterable[Mapping[str, Any]]) -> Any:
    """`document` after the operations; it is itself left alone.

    Raises:
        PatchFailed: one of them cannot be applied, so none is.
    """
    document = _copy(document)
    for operation in operations:
        parts = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        try:
            target = document
            for part in parts[:-1]:
                target = target[int(part)] if isinstance(target, list) else target[part]
            _apply(target, parts[-1], operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise PatchFailed(f"{operation['op']} {operation['path']}") from error
    return document


def _apply(target: Any, last: str, operation: Mapping[str, Any]) -> None:
    op = operation["op"]
    if op == "add" and isinstance(target, list):
        target.insert(len(target) if last == "-" else int(last), _copy(operation["value"]))
        return
    key = int(last) if isinstance(target, list) else last
    if op == "add":
        target[key] = _copy(operation["value"])
        return
    if op == "test" and isinstance(target, dict):
        target = {key: None, **target}  # the API server's library takes an absent key as null
    old = target[key]
    if op == "test":
        if old != operation["value"]:
            raise ValueError(last)
    elif op == "replace":
        target[key] = _copy(operation["value"])
    elif op == "remove":
        del target[key]
    else:
        raise ValueError(op)


def merge_patch(document: Any, patch: Any) -> Any:
    """`document` after the merge patch; it is itself left alone."""
    return _copy(_merged(document, patch))


def _merged(document: Any, patch: Any) -> Any:
    """Shares what has not changed with `document`."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(document) if isinstance(document, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


def _copy(document: Any) -> Any:
    """Of JSON, several times as fast as copy.deepcopy."""
    return msgspec.json.decode(msgspec.json.encode(document))
