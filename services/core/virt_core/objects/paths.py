"""Reads and changes values below a path of a JSON object. Pure; nothing is changed in place.

A changed object is a new one along the path and shares the rest with the old one. What is no object on the way to a
path stays as it is: users may store anything, and validation names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Path = tuple[str, ...]


def at(value: Any, path: Path) -> Any:
    """What is at `path`; None: nothing."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def put(value: Any, path: Path, new: Any) -> Any:
    """`value` with `new` at `path`. Objects that are missing on the way are added."""
    if not path:
        return new
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        return value
    return {**value, path[0]: put(value.get(path[0]), path[1:], new)}


def filled(value: Any, path: Path, default: Any) -> Any:
    """`value` with `default` at `path` if nothing is there, or an empty string, which means the same."""
    return put(value, path, default) if at(value, path) in (None, "") else value


def without(value: Any, path: Path) -> Any:
    """`value` with nothing at `path`."""
    if not isinstance(value, Mapping) or path[0] not in value:
        return value
    if len(path) == 1:
        return {key: below for key, below in value.items() if key != path[0]}
    return {**value, path[0]: without(value[path[0]], path[1:])}
