"""RBAC rules: making them, and telling whether one set covers another. Pure; used by rbac.py and operator_rbac.py.

Kubernetes lets nobody grant what they do not hold, and the operator has neither `escalate` nor `bind`. So its own
rules are the union of what it grants, computed here, and a test asks `covers`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from virt_operator.strategy.ref import Body


def rule(group: str, plural: str, *verbs: str, names: Iterable[str] = ()) -> Body:
    """One rule for one resource ("pods" or "vmis/finalizers"), `names` being the only objects it is for, if given."""
    made: Body = {"apiGroups": [group], "resources": [plural], "verbs": list(verbs)}
    if names:
        made["resourceNames"] = sorted(names)
    return made


def union(rules: Iterable[Body]) -> list[Body]:
    """The same permissions with one rule for each group, resource and set of names, in a stable order."""
    verbs: dict[tuple[str, str, tuple[str, ...]], set[str]] = {}
    for entry in rules:
        names = tuple(sorted(entry.get("resourceNames", ())))
        for group, plural in product(entry.get("apiGroups", ()), entry.get("resources", ())):
            verbs.setdefault((group, plural, names), set()).update(entry.get("verbs", ()))
    return [
        rule(group, plural, *sorted(allowed), names=names) for (group, plural, names), allowed in sorted(verbs.items())
    ]


def covers(held: Iterable[Body], wanted: Iterable[Body]) -> list[str]:
    """The permissions of `wanted` that are not in `held`, as text; empty if all are."""
    owned = {permission for entry in held for permission in _permissions(entry)}
    return sorted(
        " ".join(filter(None, permission))
        for entry in wanted
        for permission in _permissions(entry)
        if owned.isdisjoint(_sufficient(permission))
    )


def _sufficient(permission: tuple[str, str, str, str]) -> Iterable[tuple[str, str, str, str]]:
    """Every permission that implies this one."""
    group, plural, verb, name = permission
    return product((group, "*"), (plural, "*"), (verb, "*"), (name, ""))


def _permissions(entry: Body) -> Iterable[tuple[str, str, str, str]]:
    """None of a rule for URLs, which a stranger may add to a role: the suite has no such rule."""
    names = entry.get("resourceNames") or [""]
    return product(entry.get("apiGroups", ()), entry.get("resources", ()), entry.get("verbs", ()), names)
