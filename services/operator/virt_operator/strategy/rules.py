"""Builds RBAC rules, and checks whether a set of rules covers another. Pure; used by rbac.py and operator_rbac.py.

Kubernetes allows nobody to grant permissions that they do not hold, and the operator has neither `escalate` nor `bind`.
So its own rules are the union of the granted ones, computed here, and a test checks it with `covers`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from virt_operator.strategy.ref import Body


def rule(group: str, plural: str, *verbs: str, names: Iterable[str] = ()) -> Body:
    """A rule for a resource ("pods" or "vmis/finalizers"); with `names`, only for these objects."""
    made: Body = {"apiGroups": [group], "resources": [plural], "verbs": list(verbs)}
    if names:
        made["resourceNames"] = sorted(names)
    return made


def union(rules: Iterable[Body]) -> list[Body]:
    """The same permissions with a rule per group, resource and set of names, in a stable order."""
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
    """All permissions that imply this one."""
    group, plural, verb, name = permission
    return product((group, "*"), (plural, "*"), (verb, "*"), (name, ""))


def _permissions(entry: Body) -> Iterable[tuple[str, str, str, str]]:
    """None of a rule for URLs, which a stranger may add to a role: the suite has no such rule."""
    names = entry.get("resourceNames") or [""]
    return product(entry.get("apiGroups", ()), entry.get("resources", ()), entry.get("verbs", ()), names)
