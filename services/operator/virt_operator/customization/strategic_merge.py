"""Kubernetes' strategic merge patch, with the API server's semantics. Pure; called by patches.py.

Differs from a JSON merge patch in two ways: lists named in `keys` are merged entry by entry, and fields that begin with
"$" are directives. The order of a merged list is the API server's: entries of the patch in the order of the patch, the
others in the order of the document; where both are in the document, its order decides, else the patch comes first.
https://github.com/kubernetes/design-proposals-archive/blob/main/cli/preserve-order-in-strategic-merge-patch.md
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from virt_operator.customization.merge_keys import MergeKeys

_DIRECTIVE, _RETAIN = "$patch", "$retainKeys"
_ORDER, _DELETE = "$setElementOrder/", "$deleteFromPrimitiveList/"
Json = dict[str, Any]


class BadPatch(ValueError):
    """The patch does not fit the document. The message names the path."""


def strategic_merge(document: Mapping[str, Any], patch: Mapping[str, Any], keys: MergeKeys) -> Json:
    """`document` after the patch; both are left alone.

    Raises:
        BadPatch: a directive is unknown or an entry of a keyed list has no key.
    """
    return _merged("", document, patch, keys)


def _merged(path: str, document: Mapping[str, Any], patch: Mapping[str, Any], keys: MergeKeys) -> Json:
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if directive == "delete":
        return {}
    if directive is not None:
        raise BadPatch(f"{path or '.'}: {_DIRECTIVE} {directive!r} is not one of delete, replace")
    result = _retained(path, document, patch)
    for key, value in patch.items():
        if key.startswith(_DELETE):
            _delete_from(result, key.removeprefix(_DELETE), value)
    for key, value in patch.items():
        if key == _RETAIN or key.startswith((_DELETE, _ORDER)):
            continue
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _value(f"{path}.{key}", result.get(key), value, keys)
    for key, value in patch.items():
        if key.startswith(_ORDER):
            name = key.removeprefix(_ORDER)
            before = document.get(name) if isinstance(document.get(name), list) else []
            result.update(_reordered(f"{path}.{name}", result.get(name), value, before, keys))
    return result


def _value(path: str, found: Any, wanted: Any, keys: MergeKeys) -> Any:
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        return _merged(path, found, wanted, keys)
    if isinstance(found, list) and isinstance(wanted, list):
        return _merged_list(path, found, wanted, keys) if path in keys else wanted
    return _plain(wanted)


def _plain(value: Any) -> Any:
    """A value that is new, without directives and nulls."""
    if isinstance(value, Mapping):
        return {key: _plain(below) for key, below in value.items() if below is not None and not key.startswith("$")}
    if isinstance(value, list):
        return [_plain(entry) for entry in value if not (isinstance(entry, Mapping) and _DIRECTIVE in entry)]
    return value


def _retained(path: str, document: Mapping[str, Any], patch: Mapping[str, Any]) -> Json:
    if _RETAIN not in patch:
        return dict(document)
    retained = patch[_RETAIN]
    changed = [key for key, value in patch.items() if value is not None and not key.startswith("$")]
    if not isinstance(retained, list) or not set(changed) <= set(map(str, retained)):
        raise BadPatch(f"{path or '.'}: {_RETAIN} must be a list of names that has each field of the patch")
    return {key: value for key, value in document.items() if key in retained}


def _delete_from(result: Json, name: str, values: Any) -> None:
    if isinstance(result.get(name), list) and isinstance(values, list):
        result[name] = [entry for entry in result[name] if entry not in values]


def _merged_list(path: str, found: list[Any], wanted: list[Any], keys: MergeKeys) -> list[Any]:
    key = keys[path]
    if not key:
        both = [*found, *wanted]
        return _in_order(list({repr(entry): entry for entry in both}.values()), wanted, found, lambda entry: entry)

    def name(entry: Any) -> Any:
        if not isinstance(entry, Mapping) or key not in entry:
            raise BadPatch(f"{path}: an entry has no {key!r}, by which entries of this list are merged")
        return entry[key]

    directives = [entry for entry in wanted if isinstance(entry, Mapping) and _DIRECTIVE in entry]
    entries = [entry for entry in wanted if entry not in directives]
    for entry in directives:
        if entry[_DIRECTIVE] not in ("delete", "replace"):
            raise BadPatch(f"{path}: {_DIRECTIVE} {entry[_DIRECTIVE]!r} is not one of delete, replace")
    if any(entry[_DIRECTIVE] == "replace" for entry in directives):
        return entries
    deleted = [name(entry) for entry in directives]
    kept = [entry for entry in found if name(entry) not in deleted]
    merged = list(kept)
    for entry in entries:
        same = [index for index, other in enumerate(merged) if name(other) == name(entry)]
        if same:
            merged[same[0]] = _merged(path, merged[same[0]], entry, keys)
        else:
            merged.append(_plain(entry))
    return _in_order(merged, [name(entry) for entry in entries], [name(entry) for entry in kept], name)


def _reordered(path: str, merged: Any, order: Any, before: Any, keys: MergeKeys) -> Json:
    if not isinstance(order, list):
        raise BadPatch(f"{path}: {_ORDER} must be a list")
    if not isinstance(merged, list):
        return {}
    key = keys.get(path, "")

    def name(entry: Any) -> Any:
        return entry.get(key) if key and isinstance(entry, Mapping) else entry

    ordered = _in_order(merged, [name(entry) for entry in order], [name(entry) for entry in before], name)
    return {path.rpartition(".")[2]: ordered}


def _in_order(merged: list[Any], order: list[Any], before: list[Any], name: Callable[[Any], Any]) -> list[Any]:
    """Entries that `order` names, in that order, merged with the others, which keep theirs. Where both were there
    `before`, the one that was first there comes first."""
    named = sorted((entry for entry in merged if name(entry) in order), key=lambda entry: order.index(name(entry)))
    others = [entry for entry in merged if name(entry) not in order]
    result: list[Any] = []
    while named and others:
        first, second = name(others[0]), name(named[0])
        both = first in before and second in before
        result.append((others if both and before.index(first) < before.index(second) else named).pop(0))
    return [*result, *others, *named]
