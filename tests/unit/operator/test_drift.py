"""Drift in objects of the suite: missing parts, additions by others, and writes that are always changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from virt_core.testing.patches import json_patch
from virt_operator.change.plan import plan
from virt_operator.strategy.ref import Body, Ref
from virt_operator.suite.actions import Compare, Replace
from virt_operator.suite.drift import difference, part_difference, replacement
from virt_operator.suite.observed import Comparison, Observed, OwnedObject
from virt_operator.suite.repairs import after_repair

from tests.unit.operator.suites import NOW, OPERATOR, installed

SERVICE = Ref("Service", "kubevirt", "virt-api")
DEPLOYMENT = Ref("Deployment", "kubevirt", "virt-api")


def edited(observed: Observed, ref: Ref, *operations: dict[str, Any]) -> Observed:
    body = json_patch(stored(observed.owned[ref]), list(operations))
    found = msgspec.json.decode(msgspec.json.encode(body), type=OwnedObject)
    return replace(observed, owned={**observed.owned, ref: found})


def found_by_dry_run(observed: Observed, compare: Compare, difference: str | None) -> Observed:
    comparison = Comparison(compare.body, compare.live.parts, difference)
    return replace(observed, compared={**observed.compared, compare.ref: comparison})


def test_a_suite_as_desired_is_not_written_or_compared_again() -> None:
    assert plan(installed(), OPERATOR).actions == ()


def test_after_a_start_every_object_is_compared_once_and_nothing_is_written() -> None:
    actions = plan(replace(installed(), compared={}), OPERATOR).actions
    assert {type(action) for action in actions} == {Compare}
    kinds = {action.ref.kind for action in actions if isinstance(action, Compare)}
    assert kinds >= {
        "Service",
        "Deployment",
        "DaemonSet",
        "ClusterRole",
        "APIService",
        "ValidatingWebhookConfiguration",
    }


@pytest.mark.parametrize(
    ("ref", "operation"),
    [
        (SERVICE, {"op": "add", "path": "/spec/selector/edited", "value": "yes"}),
        (SERVICE, {"op": "add", "path": "/spec/sessionAffinity", "value": "ClientIP"}),
        (DEPLOYMENT, {"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": {"name": "X"}}),
        (DEPLOYMENT, {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "another"}}),
        (DEPLOYMENT, {"op": "add", "path": "/spec/paused", "value": True}),
    ],
    ids=lambda value: value["path"] if isinstance(value, dict) else str(value),
)
def test_what_somebody_added_is_found_by_a_dry_run_and_replaced(ref: Ref, operation: dict[str, Any]) -> None:
    observed = edited(installed(), ref, operation)
    (compare,) = plan(observed, OPERATOR).actions
    assert isinstance(compare, Compare) and compare.ref == ref
    (repair,) = plan(found_by_dry_run(observed, compare, operation["path"]), OPERATOR).actions
    assert isinstance(repair, Replace) and repair.why == operation["path"]
    assert plan(found_by_dry_run(observed, compare, None), OPERATOR).actions == ()


def test_a_changed_key_of_a_keyed_list_is_replaced_not_applied_beside_it() -> None:
    observed = edited(installed(), SERVICE, {"op": "replace", "path": "/spec/ports/0/port", "value": 123})
    (repair,) = plan(observed, OPERATOR).actions
    assert isinstance(repair, Replace)
    assert repair.why == ".spec.ports[0].port"
    ports = json_patch(stored(repair.live), replacement(repair.body, repair.live))["spec"]["ports"]
    assert [port["port"] for port in ports] == [443]


def test_labels_and_annotations_of_others_stay() -> None:
    added = {"op": "add", "path": "/metadata/labels/app.example~1team", "value": "storage"}
    observed = edited(installed(), SERVICE, added, {"op": "replace", "path": "/spec/ports/0/port", "value": 123})
    (repair,) = plan(observed, OPERATOR).actions
    assert isinstance(repair, Replace)
    after = json_patch(stored(repair.live), replacement(repair.body, repair.live))
    assert after["metadata"]["labels"]["app.example/team"] == "storage"
    only = edited(installed(), SERVICE, added)
    assert plan(only, OPERATOR).actions == ()


def test_a_restart_by_kubectl_is_not_undone() -> None:
    path = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt"
    observed = edited(installed(), DEPLOYMENT, {"op": "add", "path": path, "value": "2026-01-31T09:00:00Z"})
    (compare,) = plan(observed, OPERATOR).actions
    assert isinstance(compare, Compare)
    template = compare.body["spec"]["template"]["metadata"]
    assert template["annotations"]["kubectl.kubernetes.io/restartedAt"] == "2026-01-31T09:00:00Z"
    assert plan(found_by_dry_run(observed, compare, None), OPERATOR).actions == ()


def test_a_part_that_the_suite_does_not_have_goes() -> None:
    role = Ref("ClusterRole", "", "kubevirt-handler")
    observed = edited(installed(), role, {"op": "add", "path": "/aggregationRule", "value": {}})
    (compare,) = plan(observed, OPERATOR).actions
    assert isinstance(compare, Compare)
    assert {"op": "remove", "path": "/aggregationRule"} in replacement(compare.body, compare.live)


def test_defaults_and_allocations_of_the_api_server_are_no_difference() -> None:
    live = installed().owned[SERVICE]
    made = stored(live)
    made["status"] = {"loadBalancer": {}}
    made["metadata"]["resourceVersion"] = "9"
    assert part_difference(made, live) is None
    assert part_difference({**made, "spec": {**made["spec"], "clusterIP": "10.96.0.7"}}, live) == ".spec.clusterIP"


@pytest.mark.parametrize(
    ("wanted", "found", "where"),
    [
        ({"on": True}, {"on": 1}, ".spec.on"),
        ({"deep": [{"on": True, "off": False}]}, {"deep": [{"on": True, "off": 0}]}, ".spec.deep[0].off"),
        ({"count": 1}, {"count": True}, ".spec.count"),
        ({"empty": {}, "none": [], "off": False, "zero": 0, "text": ""}, {}, None),
        ({"some": {"on": True}}, {}, ".spec.some"),
        ({"some": {"on": True}}, {"some": []}, ".spec.some"),
        ({"some": []}, {"some": {}}, ".spec.some"),
        ({"a": 1, "b": {"c": 2}}, {"b": {"c": 2, "d": 3}, "a": 1, "e": 4}, None),
    ],
    ids=str,
)
def test_a_difference_is_found_where_it_is_and_true_is_not_one(wanted: Body, found: Body, where: str | None) -> None:
    desired: Body = {"kind": "Service", "metadata": {}, "spec": wanted}
    assert difference(desired, {"metadata": {}, "spec": found}) == where


def test_an_object_that_each_write_changes_is_repaired_ever_less_often_and_named() -> None:
    observed = edited(installed(), SERVICE, {"op": "replace", "path": "/spec/ports/0/port", "value": 123})
    (first,) = plan(observed, OPERATOR).actions
    assert isinstance(first, Replace)
    repair = None
    for _ in range(4):
        repair = after_repair(repair, first.body, first.live, first.live, NOW)
    assert repair is not None
    fought = replace(observed, repairs={SERVICE: repair}, now=NOW + timedelta(seconds=1))
    decided = plan(fought, OPERATOR)
    assert decided.actions == ()
    (wait,) = decided.waits
    assert wait.what == str(SERVICE)
    assert "changed by each write" in wait.why
    assert decided.next_deadline == NOW + timedelta(seconds=10)
    later = plan(replace(fought, now=NOW + timedelta(seconds=11)), OPERATOR)
    assert [type(action) for action in later.actions] == [Replace]


def stored(live: OwnedObject) -> Body:
    return {**live.content(), "metadata": msgspec.to_builtins(live.metadata), "status": live.status}
