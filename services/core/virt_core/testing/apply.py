"""Server-side apply: computes the object after a manager applies its configuration. Pure; called by store.py.

Fields that the manager no longer applies are removed, unless another manager owns them. A different value of another
manager's field is a conflict, or, with force, changes the owner.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from virt_core.testing.kinds import AsSet, Atomic, ByKeys, Kind, Path
from virt_core.testing.managed_fields import (
    Fields,
    Manager,
    Owner,
    Steps,
    difference,
    item_key,
    managed_fields,
    owners_of,
    value_key,
    values,
)
from virt_core.testing.refused import Refused

Object = dict[str, Any]


def applied(kind: Kind, live: Object, configuration: Object, *, manager: Manager, force: bool, now: str) -> Object:
    """A copy of `live` with the configuration applied. An object that does not exist yet has metadata only.

    Raises:
        Refused: fields that others own would change, and `force` is not set.
    """
    own = frozenset(values(kind, configuration))
    others = [owner for owner in owners_of(live) if owner.manager != manager]
    before: Fields = next((owner.fields for owner in owners_of(live) if owner.manager == manager), frozenset())
    kept = _with_parents(own.union({("f:metadata", "f:name")}, *(owner.fields for owner in others)))
    after = _without(kind, _merged(kind, (), live, configuration), _with_parents(before) - kept)
    made = difference(kind, live, after)
    if not force:
        _refuse_conflicts(others, made.changed)
    others = [replace(owner, fields=owner.fields - made.changed - made.removed) for owner in others]
    mine = Owner(manager, own, now)
    if not made.changed and not made.removed and own == before:
        mine = next(owner for owner in owners_of(live) if owner.manager == manager)
    metadata = {**after["metadata"], "managedFields": managed_fields((*others, mine))}
    return {**after, "metadata": metadata}


def _refuse_conflicts(others: Sequence[Owner], changed: Fields) -> None:
    conflicts = [
        f'conflict with "{owner.manager.name}" using {owner.manager.api_version}: {_dotted(steps)}'
        for owner in others
        for steps in sorted(owner.fields & changed)
    ]
    if conflicts:
        plural = "s" if len(conflicts) > 1 else ""
        text = f"Apply failed with {len(conflicts)} conflict{plural}: {', '.join(conflicts)}"
        raise Refused(409, "Conflict", text)


def _dotted(steps: Steps) -> str:
    return "".join(f".{step[2:]}" if step.startswith("f:") else f"[{step[2:]}]" for step in steps)


def _with_parents(fields: Fields) -> Fields:
    """Including the parent objects and lists, but not list items: an item is removed with everything below it."""
    above = {steps[:size] for steps in fields for size in range(1, len(steps)) if steps[size - 1].startswith("f:")}
    return fields | above


def _merged(kind: Kind, path: Path, live: Any, wanted: Any) -> Any:
    merging = kind.merging_of(path)
    if isinstance(live, dict) and isinstance(wanted, dict) and not isinstance(merging, Atomic):
        return {**live, **{name: _merged(kind, (*path, name), live.get(name), wanted[name]) for name in wanted}}
    if isinstance(live, list) and isinstance(wanted, list):
        if isinstance(merging, AsSet):
            return [*live, *(item for item in wanted if item not in live)]
        if isinstance(merging, ByKeys):
            return _merged_items(kind, path, merging, live, wanted)
    return wanted


def _merged_items(kind: Kind, path: Path, merging: ByKeys, live: list[Any], wanted: list[Any]) -> list[Any]:
    """Items of both, in the order of `wanted`; items that only `live` has stay after their predecessors."""
    theirs = {item_key(item, merging): item for item in live}
    mine = {item_key(item, merging): item for item in wanted}
    left, right, items = deque(theirs), deque(mine), []
    while left or right:
        if left and left[0] not in mine:
            items.append(theirs[left.popleft()])
            continue
        key = right.popleft()
        if key in left:
            left.remove(key)
        item = mine[key]
        if key in theirs and not merging.whole_items:
            old = theirs[key]
            item = {**old, **{name: _merged(kind, (*path, name), old.get(name), item[name]) for name in item}}
        items.append(item)
    return items


def _without(kind: Kind, body: Object, gone: Fields) -> Object:
    pruned: Object = _pruned(kind, (), (), body, gone)
    return pruned


def _pruned(kind: Kind, path: Path, steps: Steps, value: Any, gone: Fields) -> Any:
    merging = kind.merging_of(path)
    if isinstance(value, dict) and not isinstance(merging, Atomic):
        return _pruned_fields(kind, path, steps, value, gone)
    if isinstance(value, list) and isinstance(merging, ByKeys):
        items = [((*steps, item_key(item, merging)), item) for item in value]
        return [_pruned_fields(kind, path, here, item, gone) for here, item in items if here not in gone]
    if isinstance(value, list) and isinstance(merging, AsSet):
        return [item for item in value if (*steps, value_key(item)) not in gone]
    return value


def _pruned_fields(kind: Kind, path: Path, steps: Steps, value: Mapping[str, Any], gone: Fields) -> Object:
    return {
        name: _pruned(kind, (*path, name), (*steps, f"f:{name}"), inner, gone)
        for name, inner in value.items()
        if (*steps, f"f:{name}") not in gone
    }
