"""Users' ClusterRoles have KubeVirt's rules, about every kind and subresource that this suite has."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
from virt_core.conventions.subresources import SUPPORTED
from virt_operator.strategy.desired import desired_objects
from virt_operator.strategy.ref import Body

from tests.samples.user_roles import GRANTED_TO_NOBODY, SUBRESOURCES, Permission, kubevirts
from tests.unit.operator.suites import INSTALL

OBJECTS = desired_objects(INSTALL)
KINDS = [body["metadata"]["name"] for body in OBJECTS if body["kind"] == "CustomResourceDefinition"]
ROLES = {
    body["metadata"]["name"]: body
    for body in OBJECTS
    if body["kind"] == "ClusterRole" and "kubevirt.io:" in body["metadata"]["name"]
}
WANTED = kubevirts(KINDS)


def permissions_of(role: Body) -> list[Permission]:
    return [
        Permission(role["metadata"]["name"], verb, group, resource)
        for entry in role["rules"]
        for group, resource, verb in product(entry["apiGroups"], entry["resources"], entry["verbs"])
    ]


@pytest.mark.parametrize("name", sorted({permission.role for permission in WANTED}))
def test_a_role_has_kubevirts_rules_and_no_more(name: str) -> None:
    granted = Counter(permissions_of(ROLES[name]))
    assert sorted(granted) == sorted(permission for permission in WANTED if permission.role == name)
    assert set(granted.values()) == {1}, "a permission is granted twice"


def test_there_are_no_other_roles_for_users() -> None:
    assert set(ROLES) == {permission.role for permission in WANTED}


def test_admin_edit_and_view_are_aggregated_into_those_of_kubernetes() -> None:
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    found = {
        name: [label for label in body["metadata"]["labels"] if label.startswith(prefix)]
        for name, body in ROLES.items()
    }
    aggregated = {name: labels for name, labels in found.items() if labels}
    assert aggregated == {f"kubevirt.io:{role}": [f"{prefix}{role}"] for role in ("admin", "edit", "view")}


def test_what_is_everybodys_needs_an_account() -> None:
    groups = {
        body["roleRef"]["name"]: [subject["name"] for subject in body["subjects"] if subject["kind"] == "Group"]
        for body in OBJECTS
        if body["kind"] == "ClusterRoleBinding"
    }
    bound = {role: names for role, names in groups.items() if names}
    everybodys = {"kubevirt.io:default", "instancetype.kubevirt.io:view"} & set(ROLES)
    assert bound == {role: ["system:authenticated"] for role in everybodys}


def test_all_that_is_served_is_granted_to_somebody() -> None:
    granted = {permission.resource for permission in WANTED if permission.group == SUBRESOURCES}
    assert set(SUPPORTED) <= granted | set(GRANTED_TO_NOBODY)
