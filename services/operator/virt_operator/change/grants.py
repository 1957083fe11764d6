"""Roles that the operator may not write, because they have permissions that it does not hold. Pure; called by
change/objects.py.

Kubernetes lets nobody write such a role, or a binding of it, not even its labels. An older operator that was applied by
its manifest meets them when the newer release has a permission more. Pods of that release still run, so nothing is
taken away from them: a role that has all that is desired stays as it is until the change is done, and is narrowed then.
One that lacks something, too, holds the change up: the condition names the command by which an administrator adds it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from virt_operator.strategy.ref import Body, Ref
from virt_operator.strategy.rules import covers
from virt_operator.suite.observed import Observed, OwnedObject

APPLY_NEWEST_ROLES = (
    "apply the roles of kubevirt-operator.yaml of the newest release that has run, and those of the requested one when "
    "this change is done"
)
_OR_DELETE = "or delete the role, which takes from pods of the newest release what only they need"
_MOST = 2  # permissions in a message
_LONGEST = 250  # characters of a command: a status is cut
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


def refusal(observed: Observed, ref: Ref, wanted: Body, live: OwnedObject, *, changing: bool) -> str | None:
    """Why a role may not be written although it lacks something that is desired, and what helps; None if it may."""
    if ref.kind not in _ROLES or not changing:
        return None
    rules = live.content().get("rules") or []
    lacking = [rule for rule in wanted["rules"] if covers(rules, [rule])]
    unheld = _unheld(observed, ref, rules)
    if not lacking or not unheld:
        return None
    return (
        f"lacks {_listed(covers(rules, lacking))}; virt-operator may not add it, because the role also has what "
        f"virt-operator does not hold: {_listed(unheld)}; {_help(ref, lacking)}"
    )


def _help(ref: Ref, lacking: Iterable[Body]) -> str:
    """What an administrator, who holds everything, can do: add the rules to the role, if they are few."""
    patch = msgspec.json.encode([{"op": "add", "path": "/rules/-", "value": rule} for rule in lacking]).decode()
    where = f" -n {ref.namespace}" if ref.namespace else ""
    command = f"kubectl{where} patch {ref.kind.lower()} {ref.name} --type=json -p '{patch}'"
    return f"run {command}" if len(command) <= _LONGEST else f"{APPLY_NEWEST_ROLES}; {_OR_DELETE}"


def _listed(permissions: list[str]) -> str:
    more = f" and {len(permissions) - _MOST} more" if len(permissions) > _MOST else ""
    return "; ".join(permissions[:_MOST]) + more


def _is_refused(observed: Observed, ref: Ref, rules: Iterable[Body]) -> bool:
    return bool(_unheld(observed, ref, rules))


def _unheld(observed: Observed, ref: Ref, rules: Iterable[Body]) -> list[str]:
    """The permissions that the operator does not hold: those of a ClusterRole in every namespace."""
    granted = list(rules)
    held = [observed.held[ref.namespace]] if ref.namespace in observed.held else list(observed.held.values())
    return sorted({permission for own in held for permission in covers(own, granted)})
