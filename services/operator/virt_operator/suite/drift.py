"""Whether an object is as it should be: what is desired must be in it, what others added may be. Pure.

Compares content, never a remembered hash or generation: so it needs no memory, and a restarted operator writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from virt_operator.strategy.ref import Body

_ABSENT = object()
_POD_TEMPLATE = ".spec.template."


def difference(desired: Body, live: Body) -> str | None:
    """The path of the first place where `live` is not as `desired`, or None."""
    meta = desired["metadata"]
    wanted: Body = {key: value for key, value in desired.items() if key not in ("apiVersion", "kind")}
    wanted["metadata"] = {key: meta[key] for key in ("labels", "annotations") if key in meta}
    if wanted.get("rules") != live.get("rules"):
        return ".rules"  # nobody adds to a role, and a name added to a rule takes away
    return _differs("", wanted, live)


def _differs(path: str, wanted: Any, found: Any) -> str | None:
    if isinstance(wanted, Mapping | list) and not wanted and found is _ABSENT:
        return None  # empty and absent are the same to the API server
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            return path
        return _first(_differs(f"{path}.{key}", value, found.get(key, _ABSENT)) for key, value in wanted.items())
    if isinstance(wanted, list):
        return _differs_list(path, wanted, found)
    same = wanted == found and isinstance(wanted, bool) == isinstance(found, bool)
    # The API server leaves out zero values of optional fields.
    return None if same or (found is _ABSENT and wanted in (False, 0, "")) else path


def _differs_list(path: str, wanted: list[Any], found: Any) -> str | None:
    if not isinstance(found, list):
        return path
    if path.startswith(_POD_TEMPLATE) and all(isinstance(one, Mapping) and "name" in one for one in wanted):
        # Containers, volumes and variables merge by name: admission may add its own.
        by_name = {one.get("name"): one for one in found if isinstance(one, Mapping)}
        return _first(_differs(f"{path}[{one['name']}]", one, by_name.get(one["name"], _ABSENT)) for one in wanted)
    if len(wanted) != len(found):
        return path
    pairs = zip(wanted, found, strict=True)
    return _first(_differs(f"{path}[{index}]", one, other) for index, (one, other) in enumerate(pairs))


def _first(differences: Iterable[str | None]) -> str | None:
    return next((one for one in differences if one is not None), None)
