"""The operator grants nothing that it does not hold, and nobody holds a wildcard."""

from __future__ import annotations

import msgspec
from virt_operator.strategy.desired import desired_monitoring, desired_objects
from virt_operator.strategy.monitoring import Place, placed
from virt_operator.strategy.operator_rbac import operator_rbac
from virt_operator.strategy.ref import KINDS, Body, Ref, ref_of
from virt_operator.strategy.rules import covers, rule, union
from virt_operator.suite.permissions import may_delete

from tests.unit.operator.suites import HELD, INSTALL

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


def test_operator_may_bring_the_objects_for_prometheus_and_grants_what_it_holds() -> None:
    for body in placed(desired_monitoring(INSTALL), Place("observability", "prometheus", "monitors")):
        resource, meta = KINDS[body["kind"]], body["metadata"]
        needed = [
            rule(resource.group, resource.plural, "list", "watch", "create"),
            rule(resource.group, resource.plural, "patch", "delete", names=[meta["name"]]),
        ]
        assert covers(held(meta["namespace"]), [*needed, *body.get("rules", ())]) == [], meta["name"]
        assert may_delete(HELD, ref_of(body), "kubevirt")
    assert covers(held(None), [rule("", "serviceaccounts", "list", "watch")]) == []


def test_only_the_suites_own_service_monitor_may_be_changed_in_other_namespaces() -> None:
    for verb in ("patch", "delete"):
        assert covers(held("monitors"), [rule("monitoring.coreos.com", "servicemonitors", verb)])
    assert covers(held("monitors"), [rule("monitoring.coreos.com", "prometheusrules", "list")])
    assert covers(held("monitors"), [rule("", "serviceaccounts", "get")])


def test_what_is_held_in_one_namespace_says_nothing_of_another() -> None:
    own = rule("policy", "poddisruptionbudgets", "delete")
    held_here = {"kubevirt": (own,), "kube-system": ()}
    assert may_delete(held_here, Ref("PodDisruptionBudget", "kubevirt", "a"), "kubevirt")
    assert not may_delete(held_here, Ref("PodDisruptionBudget", "elsewhere", "a"), "kubevirt")
    assert not may_delete({}, Ref("PodDisruptionBudget", "elsewhere", "a"), "kubevirt")


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
