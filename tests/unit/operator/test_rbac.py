"""The operator grants nothing that it does not hold, and nobody holds a wildcard."""

from __future__ import annotations

import msgspec
from virt_operator.strategy.desired import desired_objects
from virt_operator.strategy.operator_rbac import operator_rbac
from virt_operator.strategy.ref import KINDS, Body
from virt_operator.strategy.rules import covers, rule, union

from tests.unit.operator.suites import INSTALL

OWN = operator_rbac(INSTALL)


def held(namespace: str | None, own: list[Body] = OWN) -> list[Body]:
    return [
        rule
        for body in own
        if body["kind"] == "ClusterRole" or (body["kind"] == "Role" and body["metadata"]["namespace"] == namespace)
        for rule in body["rules"]
    ]


def test_operator_holds_every_permission_that_it_grants() -> None:
    for body in desired_objects(INSTALL):
        if body["kind"] in ("ClusterRole", "Role"):
            namespace = body["metadata"].get("namespace")
            assert covers(held(namespace), body["rules"]) == [], body["metadata"]["name"]


def test_operator_may_write_and_remove_everything_that_it_installs() -> None:
    for body in desired_objects(INSTALL):
        resource, meta = KINDS[body["kind"]], body["metadata"]
        needed = [
            rule(resource.group, resource.plural, "list", "watch", "create"),
            rule(resource.group, resource.plural, "patch", "delete", names=[meta["name"]]),
        ]
        assert covers(held(meta.get("namespace")), needed) == [], meta["name"]


def test_operator_may_write_events() -> None:
    assert covers(held(None), [rule("events.k8s.io", "events", "create")]) == []


def test_operator_may_watch_and_remove_what_other_settings_install() -> None:
    single = msgspec.structs.replace(INSTALL, replicas=1)
    budgets = rule("policy", "poddisruptionbudgets", "list", "watch", "patch", "delete")
    assert covers(held("kubevirt", operator_rbac(single)), [budgets]) == []


def test_no_wildcards_and_no_escalation() -> None:
    rules = [rule for body in (*OWN, *desired_objects(INSTALL)) for rule in body.get("rules", ())]
    for entry in rules:
        words = {*entry["apiGroups"], *entry["resources"], *entry["verbs"]}
        assert not words & {"*", "escalate", "bind", "impersonate"}


def test_covers_knows_names() -> None:
    named = rule("", "secrets", "get", names=["a"])
    assert covers([named], [named]) == []
    assert covers([named], [rule("", "secrets", "get", names=["b"])]) == [" ".join(["secrets", "get", "b"])]
    assert covers([named], [rule("", "secrets", "get")]) == ["secrets get"]
    assert covers([rule("", "secrets", "get")], [named]) == []
    assert union([rule("", "pods", "list"), rule("", "pods", "get")]) == [rule("", "pods", "get", "list")]
