"""Compares an object with its desired state. Pure; called by change/objects.py and reconcile/execute.py.

In two steps. `difference` finds parts of the desired object that are missing or changed in the live one, without a
request. Only the API server can distinguish additions by others from its own defaults and allocations: `replacement` is
a patch that replaces the live parts by the desired ones, and `part_difference` compares the result of its dry run with
the live object. Labels and annotations of others stay.

Compares contents, not stored generations: a restarted operator writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from virt_core.objects.patch import Operation

from virt_operator.strategy import marks
from virt_operator.strategy.ref import Body
from virt_operator.suite.observed import PARTS, OwnedObject

_ABSENT = object()
_EMPTY: tuple[Any, ...] = ({}, [], False, 0, "")
_POD_TEMPLATE = ".spec.template."


def difference(desired: Body, live: Body) -> str | None:
    """The path of the first place where something of `desired` is not in `live`, or None."""
    parts = desired_parts(desired)
    if parts.get("rules") != live.get("rules"):
        return ".rules"  # nobody adds to a role, and a name added to a rule takes away
    meta = desired["metadata"]
    own = {key: meta[key] for key in ("labels", "annotations") if key in meta}
    left = (f".metadata.{part}.{key}" for part, key in marks.left_over(meta, live["metadata"]))
    return _differs("", parts, live) or _differs(".metadata", own, live["metadata"]) or next(left, None)


def desired_parts(desired: Body) -> Body:
    """What belongs to the suite whole."""
    return {key: value for key, value in desired.items() if key not in ("apiVersion", "kind", "metadata")}


def replacement(desired: Body, live: OwnedObject) -> list[Operation]:
    """The JSON patch that puts the desired parts in the place of the live ones, and adds labels and annotations."""
    wanted, meta = desired_parts(desired), desired["metadata"]
    found = {"labels": live.metadata.labels, "annotations": live.metadata.annotations}
    left = set(marks.left_over(meta, found))
    own = {
        part: {**{key: value for key, value in there.items() if (part, key) not in left}, **meta.get(part, {})}
        for part, there in found.items()
    }
    return [
        {"op": "test", "path": "/metadata/uid", "value": live.metadata.uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": live.metadata.resource_version},
        *(
            {"op": "add", "path": f"/metadata/{key}", "value": value}
            for key, value in own.items()
            if value or found[key]
        ),
        *({"op": "add", "path": f"/{key}", "value": value} for key, value in wanted.items()),
        *({"op": "remove", "path": f"/{key}"} for key in live.parts if key not in wanted),
    ]


def part_difference(made: Body, live: OwnedObject) -> str | None:
    """The path of the first place where the parts of two objects of the API server's differ, or None."""
    found = live.content()
    return _first(_unequal(f".{key}", made.get(key, _ABSENT), found.get(key, _ABSENT)) for key in PARTS)


def _unequal(path: str, wanted: Any, found: Any) -> str | None:
    if _same(wanted, found):
        return None
    if isinstance(wanted, dict) and isinstance(found, dict):
        keys = dict.fromkeys((*wanted, *found))
        return _first(_unequal(f"{path}.{key}", wanted.get(key, _ABSENT), found.get(key, _ABSENT)) for key in keys)
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found, strict=True))
        return _first(_unequal(f"{path}[{index}]", *pair) for index, pair in pairs)
    return path


def _differs(path: str, wanted: Any, found: Any) -> str | None:
    if _same(wanted, found):
        return None
    if found is _ABSENT and wanted in _EMPTY:
        return None  # the API server leaves out empty and zero values of optional fields
    if isinstance(wanted, dict) and isinstance(found, dict):
        return _first(_differs(f"{path}.{key}", value, found.get(key, _ABSENT)) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(found, list):
        return _differs_list(path, wanted, found)
    return path


def _differs_list(path: str, wanted: list[Any], found: list[Any]) -> str | None:
    if path.startswith(_POD_TEMPLATE) and all(isinstance(entry, dict) and "name" in entry for entry in wanted):
        # Containers, volumes and variables merge by name: admission may add its own.
        by_name = {entry.get("name"): entry for entry in found if isinstance(entry, dict)}
        return _first(
            _differs(f"{path}[{entry['name']}]", entry, by_name.get(entry["name"], _ABSENT)) for entry in wanted
        )
    if len(wanted) != len(found):
        return path
    pairs = zip(wanted, found, strict=True)
    return _first(_differs(f"{path}[{index}]", entry, other) for index, (entry, other) in enumerate(pairs))


def _same(wanted: Any, found: Any) -> bool:
    """Whether they are the same JSON. Without a step for each value: definitions have ten thousands of them.

    For Python, and not in JSON, true is 1.
    """
    if wanted != found:
        return False
    if isinstance(wanted, dict | list):
        return msgspec.json.encode(wanted, order="deterministic") == msgspec.json.encode(found, order="deterministic")
    return isinstance(wanted, bool) == isinstance(found, bool)


def _first(differences: Iterable[str | None]) -> str | None:
    return next((difference for difference in differences if difference is not None), None)
