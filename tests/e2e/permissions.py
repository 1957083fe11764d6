"""Permissions of a service account, from the roles that are bound to it. For test_rbac_audit.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

from tests.e2e.audit import Request
from tests.e2e.cluster import NAMESPACE, get

MANAGED = "app.kubernetes.io/managed-by"
_EVERYONE = {"system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}"}


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """One verb on one resource. `namespace` "" is everywhere, `name` "" is any object."""

    group: str
    resource: str
    verb: str
    namespace: str
    name: str

    def allows(self, request: Request) -> bool:
        """Whether the request needed it. An apply that creates needs `create`, too."""
        verbs = {request.verb, "create"} if request.verb == "patch" and request.code == 201 else {request.verb}
        named = self.name in ("", request.name) or (self.verb == "create" and not self.name)
        return (
            self.verb in verbs
            and (self.group, self.resource) == (request.group, request.resource)
            and self.namespace in ("", request.namespace)
            and named
        )

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {resource}{f' {self.name}' if self.name else ''}{where}"


@dataclass(frozen=True, slots=True)
class Grants:
    """All roles and bindings of the cluster, as they are now."""

    roles: dict[tuple[str, str, str], Any]
    bindings: tuple[Any, ...]

    @classmethod
    def read(cls) -> Grants:
        """Ask the API server."""
        roles = {
            (role["kind"], role["metadata"].get("namespace", ""), role["metadata"]["name"]): role
            for kind in ("clusterroles", "roles")
            for role in get(kind, "-A")["items"]
        }
        return cls(
            roles,
            tuple(binding for kind in ("clusterrolebindings", "rolebindings") for binding in get(kind, "-A")["items"]),
        )

    def of(self, account: str) -> set[Permission]:
        """Of a service account of the suite, but for what every authenticated user has."""
        found: set[Permission] = set()
        everyones: set[Permission] = set()
        for binding in self.bindings:
            into = found if any(_is_account(subject, account) for subject in binding.get("subjects", ())) else None
            if any(
                subject["kind"] == "Group" and subject["name"] in _EVERYONE for subject in binding.get("subjects", ())
            ):
                into = everyones
            if into is not None:
                into |= self._granted_by(binding)
        return found - everyones

    def granted_to_others(self) -> set[Permission]:
        """What the roles hold that the operator writes: nobody may write into a role what they do not hold."""
        return {
            permission
            for (kind, namespace, _), role in self.roles.items()
            if role["metadata"].get("labels", {}).get(MANAGED) == "virt-operator"
            for permission in _permissions(role.get("rules") or (), namespace if kind == "Role" else "")
        }

    def of_kubernetes(self) -> set[Permission]:
        """What Kubernetes' own roles in kube-system hold, whose rules are not ours to narrow."""
        bootstrap = "kubernetes.io/bootstrapping"
        return {
            permission
            for (kind, namespace, _), role in self.roles.items()
            if kind == "Role" and bootstrap in role["metadata"].get("labels", {})
            for permission in _permissions(role.get("rules") or (), namespace)
        }

    def _granted_by(self, binding: Any) -> set[Permission]:
        namespace = binding["metadata"].get("namespace", "")
        reference = binding["roleRef"]
        role_namespace = namespace if reference["kind"] == "Role" else ""
        role = self.roles.get((reference["kind"], role_namespace, reference["name"]), {})
        return set(_permissions(role.get("rules") or (), namespace))


def _is_account(subject: Any, account: str) -> bool:
    return bool(subject["kind"] == "ServiceAccount" and (subject["namespace"], subject["name"]) == (NAMESPACE, account))


def _permissions(rules: Iterable[Any], namespace: str) -> Iterable[Permission]:
    for rule in rules:
        parts = product(
            rule.get("apiGroups", ()), rule.get("resources", ()), rule["verbs"], rule.get("resourceNames") or [""]
        )
        for group, resource, verb, name in parts:
            yield Permission(group, resource, verb, namespace, name)
