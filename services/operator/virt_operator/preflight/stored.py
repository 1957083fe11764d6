"""What happens to each kind of the suite and to its stored objects. Pure.

Definitions only grow (change/growth.py), so that no field is pruned. But a release that does not know a field does not
do what it says, and one that does not know a version cannot read what is stored in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from virt_operator.preflight import estimates
from virt_operator.preflight.finding import Finding, Step, Subject, blocking, info, warning
from virt_operator.preflight.kinds import StoredObject
from virt_operator.preflight.observed import Cluster, Target
from virt_operator.strategy.install_strategy import InstallStrategy
from virt_operator.strategy.ref import Body

Path = tuple[str, ...]
"""Property names; EACH stands for every entry of a list or a map."""

EACH = "*"
_DEFINITION = "CustomResourceDefinition"
_NAMED = 3  # paths in a message
_STAYS = "the definition keeps what it gains"


def judge_stored(cluster: Cluster, target: Target) -> Iterator[Finding]:
    """A finding for each definition, and one for each object that the target would not understand."""
    if target.strategy is None:
        return
    for name, wanted in _definitions(target.strategy).items():
        subject, live = Subject(_DEFINITION, "", name), cluster.definitions.get(name)
        if live is None:
            step = Step("create the definition", estimates.WRITE_OBJECT)
            yield info(subject, "KindAdded", "is new", step, irreversible=_STAYS)
            continue
        before, after = _paths(live), _paths(wanted)
        yield _definition(subject, live, wanted, before, after)
        below = _gone(before, after)
        if below and name not in cluster.stored:
            yield warning(subject, "NotExamined", "virt-operator may not list the objects of this kind: not examined")
        elif below:
            yield from _objects(cluster.stored[name], live["spec"]["names"]["kind"], below)


def judge_own(cluster: Cluster, target: Target) -> Iterator[Finding]:
    """The KubeVirt object's spec. Its definition comes with the operator's manifest, not with a strategy's objects."""
    suite, before, wanted = cluster.suite, _own(cluster.installed), _own(target.strategy)
    if suite is None or before is None or wanted is None:
        return
    stored = StoredObject(suite.metadata, msgspec.Raw(msgspec.json.encode(suite.spec)))
    yield from _objects((stored,), "KubeVirt", _gone(_paths(before), _paths(wanted)))


def _own(strategy: InstallStrategy | None) -> Body | None:
    bodies = strategy.operator if strategy is not None else []
    return next((body for body in bodies if body["kind"] == _DEFINITION), None)


def reduced(definitions: Mapping[str, Body], strategy: InstallStrategy) -> list[str]:
    """The definitions that have fields of spec which the strategy's do not have."""
    wanted = _definitions(strategy)
    return [name for name, live in definitions.items() if name in wanted and _gone(_paths(live), _paths(wanted[name]))]


def _definitions(strategy: InstallStrategy) -> dict[str, Body]:
    return {body["metadata"]["name"]: body for body in strategy.objects if body["kind"] == _DEFINITION}


def _definition(subject: Subject, live: Body, wanted: Body, before: frozenset[Path], after: frozenset[Path]) -> Finding:
    served = {version["name"] for version in wanted["spec"]["versions"]}
    gone = [version for version in live.get("status", {}).get("storedVersions") or () if version not in served]
    if gone:
        return blocking(
            subject,
            "StoredVersionGone",
            f"objects may be stored in version {', '.join(gone)}, which the target does not have: rewrite them all in "
            f"version {', '.join(sorted(served))}, then remove it from status.storedVersions",
        )
    gained, unknown = after - before, before - after
    message = f"gains {len(gained)} fields" if gained else "stays as it is"
    if unknown:
        message += f", keeps {len(unknown)} fields that the target does not know"
    step = Step("update the definition", estimates.WRITE_OBJECT)
    return info(subject, "KindUpdated", message, step, irreversible=_STAYS if gained else "")


def _gone(before: frozenset[Path], after: frozenset[Path]) -> list[Path]:
    """What of a spec is lost, below "spec"."""
    return [path[1:] for path in _topmost(before - after) if path[0] == "spec" and len(path) > 1]


def _objects(stored: Iterable[StoredObject], kind: str, below: Iterable[Path]) -> Iterator[Finding]:
    """Objects with a field that the live definition has and the target's has not."""
    for stored_object in stored:
        spec = msgspec.json.decode(stored_object.spec) if bytes(stored_object.spec) else {}
        used = sorted(".".join(("spec", *path)) for path in below if _has(spec, path))
        if not used:
            continue
        more = f" and {len(used) - _NAMED} more" if len(used) > _NAMED else ""
        meta = stored_object.metadata
        yield blocking(
            Subject(kind, meta.namespace, meta.name),
            "StoredFieldGone",
            f"has {', '.join(used[:_NAMED])}{more}, which the target does not know and would ignore: remove it first",
            ", ".join(used[:_NAMED]),
        )


def _paths(definition: Body) -> frozenset[Path]:
    """The fields of all versions."""
    found: set[Path] = set()
    for version in definition["spec"]["versions"]:
        schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        _collect(schema, (), found)
    return frozenset(found)


def _collect(schema: Mapping[str, Any], path: Path, found: set[Path]) -> None:
    for name, below in (schema.get("properties") or {}).items():
        found.add((*path, name))
        _collect(below, (*path, name), found)
    for key in ("items", "additionalProperties"):
        below = schema.get(key)
        if isinstance(below, Mapping):
            _collect(below, (*path, EACH), found)


def _topmost(paths: Iterable[Path]) -> list[Path]:
    """Without those below another one."""
    ordered, found = sorted(paths), set[Path]()
    for path in ordered:
        if not any(path[:length] in found for length in range(1, len(path))):
            found.add(path)
    return sorted(found)


def _has(value: Any, path: Path) -> bool:
    """Whether something stands at the path."""
    if not path:
        return value is not None
    first, *rest = path
    if first == EACH:
        entries = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
        return any(_has(entry, tuple(rest)) for entry in entries)
    return isinstance(value, Mapping) and first in value and _has(value[first], tuple(rest))
