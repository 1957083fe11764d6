"""Who owns which fields of an object: metadata.managedFields in the API server's own format. Pure.

A path of steps names a field or a list item, as in FieldsV1, e.g. ``("f:spec", "f:ports", 'k:{"port":443}')``.
Used by store.py for every write, and by apply.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from virt_core.testing.kinds import AsSet, Atomic, ByKeys, Kind

Steps = tuple[str, ...]
Fields = frozenset[Steps]
_ITEM = object()  # the value of an item of a keyed list: it is there
_UNOWNED = {
    *((f"f:{name}",) for name in ("apiVersion", "kind")),
    *(
        ("f:metadata", f"f:{name}")
        for name in ("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")
    ),
    *(("f:metadata", f"f:{name}") for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "generateName")),
}


@dataclass(frozen=True, slots=True)
class Manager:
    """The writer of an object, as it stands in managedFields."""

    name: str
    operation: str
    """Apply or Update."""
    api_version: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Owner:
    """A manager and the fields that it owns."""

    manager: Manager
    fields: Fields
    time: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What a write did."""

    changed: Fields
    """Added or with another value."""
    removed: Fields


def item_key(item: Mapping[str, Any], merging: ByKeys) -> str:
    """The step to an item of a keyed list."""
    return "k:" + _json({key: item.get(key, merging.defaults.get(key)) for key in merging.keys})


def value_key(item: Any) -> str:
    """The step to an item of a set."""
    return "v:" + _json(item)


def values(kind: Kind, body: Mapping[str, Any]) -> dict[Steps, Any]:
    """Every field and item that can have an owner, with its value."""
    return {steps: value for steps, value in _values(kind, (), (), body) if steps not in _UNOWNED and steps}


def difference(kind: Kind, before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    """What is not the same in two states of an object."""
    old, new = values(kind, before), values(kind, after)
    changed = frozenset(steps for steps, value in new.items() if steps not in old or old[steps] != value)
    return Difference(changed, frozenset(old.keys() - new.keys()))


def owners_of(body: Mapping[str, Any]) -> tuple[Owner, ...]:
    """The owners that the object's managedFields list."""
    return tuple(
        Owner(
            Manager(entry["manager"], entry["operation"], entry["apiVersion"], entry.get("subresource", "")),
            frozenset(_decoded((), entry["fieldsV1"])),
            entry["time"],
        )
        for entry in body["metadata"].get("managedFields", ())
    )


def managed_fields(owners: Iterable[Owner]) -> list[dict[str, Any]]:
    """metadata.managedFields; owners of nothing are left out."""
    return [_entry(owner) for owner in owners if owner.fields]


def owners_after_update(
    kind: Kind, before: Mapping[str, Any], after: Mapping[str, Any], manager: Manager, now: str
) -> tuple[Owner, ...]:
    """The owners after `manager` changed `before` to `after`: it takes what it changed from all others."""
    made = difference(kind, before, after)
    if not made.changed and not made.removed:
        return owners_of(before)
    own = Owner(manager, frozenset(), now)
    others = []
    for owner in owners_of(before):
        if owner.manager == manager:
            own = replace(owner, time=now)
        else:
            others.append(replace(owner, fields=owner.fields - made.changed - made.removed))
    return (*others, replace(own, fields=(own.fields | made.changed) - made.removed))


def _values(kind: Kind, path: tuple[str, ...], steps: Steps, value: Any) -> Iterator[tuple[Steps, Any]]:
    merging = kind.merging_of(path)
    if isinstance(value, dict) and value and not isinstance(merging, Atomic):
        for name, inner in value.items():
            yield from _values(kind, (*path, name), (*steps, f"f:{name}"), inner)
    elif isinstance(value, list) and isinstance(merging, ByKeys):
        for item in value:
            here = (*steps, item_key(item, merging))
            if merging.whole_items:
                yield here, item
                continue
            yield here, _ITEM
            for name, inner in item.items():
                yield from _values(kind, (*path, name), (*here, f"f:{name}"), inner)
    elif isinstance(value, list) and isinstance(merging, AsSet):
        for item in value:
            yield (*steps, value_key(item)), item
    else:
        yield steps, value


def _entry(owner: Owner) -> dict[str, Any]:
    manager = owner.manager
    entry = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
        "time": owner.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": _encoded(owner.fields),
    }
    return {**entry, "subresource": manager.subresource} if manager.subresource else entry


def _encoded(fields: Fields) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for steps in sorted(fields):
        node = tree
        for step in steps:
            node = node.setdefault(step, {})
        node["."] = {}
    return _without_lone_dots(tree)


def _without_lone_dots(tree: dict[str, Any]) -> dict[str, Any]:
    """A member without members below it is an empty object."""
    return {} if tree.keys() == {"."} else {step: _without_lone_dots(below) for step, below in tree.items()}


def _decoded(steps: Steps, tree: Mapping[str, Any]) -> Iterator[Steps]:
    if not tree or "." in tree:
        yield steps
    for step, below in tree.items():
        if step != ".":
            yield from _decoded((*steps, step), below)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
