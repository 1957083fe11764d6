"""Roles that the operator may not write, because they have permissions that it does not hold. Pure; called by
change/objects.py.

Kubernetes lets nobody write such a role, or a binding of it, not even its labels. An older operator that was applied by
its manifest meets them when the newer release has a permission more. Pods of that release still run, so nothing is
taken away from them: a role that has all that is desired stays as it is until the change is done, and is narrowed then.
"""

from __future__ import annotations

from collections.abc import Iterable

from virt_operator.strategy.ref import Body, Ref
from virt_operator.strategy.rules import covers
from virt_operator.suite.observed import Observed, OwnedObject

_ROLES, _BINDINGS = ("ClusterRole", "Role"), ("ClusterRoleBinding", "RoleBinding")


def is_left_alone(observed: Observed, ref: Ref, wanted: Body, live: OwnedObject, *, changing: bool) -> bool:
    """Whether a role or a binding grants what is desired, and may not be written."""
    if ref.kind in _ROLES:
        rules = live.content().get("rules") or []
        return changing and not covers(rules, wanted["rules"]) and _is_refused(observed, ref, rules)
    if ref.kind not in _BINDINGS:
        return False
    content = live.content()
    if any(content.get(part) != wanted.get(part) for part in ("roleRef", "subjects")):
        return False
    target = wanted["roleRef"]
    role = Ref(target["kind"], ref.namespace if target["kind"] == "Role" else "", target["name"])
    bound = observed.owned.get(role)
    return bound is not None and _is_refused(observed, role, bound.content().get("rules") or [])


def _is_refused(observed: Observed, ref: Ref, rules: Iterable[Body]) -> bool:
    """Whether one of the rules is not held: those of a ClusterRole in every namespace."""
    granted = list(rules)
    held = [observed.held[ref.namespace]] if ref.namespace in observed.held else list(observed.held.values())
    return any(covers(own, granted) for own in held)
