"""Compares two structural schemas: what the older one accepts and keeps, the newer one has to. Pure; used by crds.py.

A keyword that is not named here has to stay as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_FREE = frozenset({"description", "title", "example", "externalDocs"})
_PARTS = frozenset({"properties", "items", "additionalProperties"})
_UPPER = frozenset({"maximum", "maxLength", "maxItems", "maxProperties"})
_LOWER = frozenset({"minimum", "minLength", "minItems", "minProperties"})
_GRANTS = frozenset({"x-kubernetes-preserve-unknown-fields", "nullable"})
_PRESERVES = "x-kubernetes-preserve-unknown-fields"


def narrowed(path: str, old: Schema, new: Schema) -> Iterator[str]:
    """A text for each thing that the newer schema refuses, loses or changes, with the field's path."""
    for keyword in sorted((old.keys() | new.keys()) - _FREE - _PARTS):
        reason = _keyword(keyword, old.get(keyword), new.get(keyword))
        if reason:
            yield f"{path or '.'}: {reason}"
    for name, schema in old.get("properties", {}).items():
        below = f"{path}.{name}"
        if name not in new.get("properties", {}):
            yield f"{below}: the field is removed"
        else:
            yield from narrowed(below, schema, new["properties"][name])
    for name, schema in new.get("properties", {}).items():
        # What was kept whole becomes a field with a type.
        if name not in old.get("properties", {}) and old.get(_PRESERVES) and not _keeps_all(schema):
            yield f"{path}.{name}: any value was kept here, now it has a schema"
    for part, sign in (("items", "[]"), ("additionalProperties", "{}")):
        yield from _part(f"{path}{sign}", part, old.get(part), new.get(part))


def _part(path: str, part: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from narrowed(path, old, new)
    elif old not in (None, False) and new not in (old, True):
        yield f"{path}: {part} is removed or narrowed"


def _keyword(keyword: str, old: Any, new: Any) -> str:
    """Why the change of the keyword's value is refused; empty if it is not."""
    if keyword == "required":
        added = sorted(set(new or ()) - set(old or ()))
        return f"{', '.join(added)} is required now" if added else ""
    if keyword == "enum":
        gone = [value for value in old or () if new is not None and value not in new]
        refused = f"enum lacks {', '.join(map(str, gone))}" if gone else ""
        return "enum is new" if old is None else refused
    if keyword in _GRANTS:
        return f"{keyword} is removed" if old and not new else ""
    if keyword == "default" and old is None:
        return ""
    if keyword in _UPPER or keyword in _LOWER:
        wider = new is None or (old is not None and (new >= old if keyword in _UPPER else new <= old))
        return "" if wider else f"{keyword} was {old} and is {new}"
    return "" if old == new else f"{keyword} was {old} and is {new}"


def _keeps_all(schema: Schema) -> bool:
    return not (schema.keys() - _FREE - _GRANTS - {"type"}) and bool(schema.get(_PRESERVES))
