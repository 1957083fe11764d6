"""Finds permissions that a release's operator needs and this one lacks. Pure; called by change/.

The reconciler reads the held permissions from the API server: the operator's own roles come with its manifest, and a
user who applied an older manifest must learn which one to apply.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from virt_operator.strategy.operator_rbac import ACCOUNT
from virt_operator.strategy.ref import Body, Ref
from virt_operator.strategy.rules import covers, rule

Held = Mapping[str, tuple[Body, ...]]
"""Rules by namespace, including the cluster-wide ones."""

_MOST = 6  # permissions in a message


def missing(held: Held, operator_objects: Iterable[Body], account_namespace: str) -> list[str]:
    """Permissions of the operator's roles in `operator_objects` that are not held, as text."""
    found: set[str] = set()
    for body in operator_objects:
        if body["metadata"]["name"] != ACCOUNT:
            continue
        if body["kind"] == "ClusterRole":
            found |= set(covers(held.get(account_namespace, ()), body["rules"]))
        elif body["kind"] == "Role":
            namespace = body["metadata"]["namespace"]
            lacking = covers(held.get(namespace, ()), body["rules"])
            found |= {f"{permission} in {namespace}" for permission in lacking}
    return sorted(found)


def may_delete(held: Held, ref: Ref, account_namespace: str) -> bool:
    """Whether the operator holds the permission to delete this object."""
    needed = rule(ref.resource.group, ref.resource.plural, "delete", names=[ref.name])
    namespace = ref.namespace or account_namespace
    # Of any other namespace nothing is known but what is held everywhere.
    rules = [held[namespace]] if namespace in held else list(held.values())
    return bool(rules) and not any(covers(own, [needed]) for own in rules)


def message(lacking: list[str], release: str) -> str:
    """The message of the condition: the missing permissions, and the manifest to apply."""
    named = "; ".join(lacking[:_MOST])
    more = f" and {len(lacking) - _MOST} more" if len(lacking) > _MOST else ""
    what = f"virt-operator lacks permissions that release {release} needs: {named}{more}"
    return f"{what}; apply kubevirt-operator.yaml of release {release}"
