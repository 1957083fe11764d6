"""A drain evicts all but one replica, and is not blocked by a single replica."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from virt_operator.change.plan import plan
from virt_operator.removal.plan import plan_removal
from virt_operator.strategy.desired import desired_objects
from virt_operator.strategy.ref import Body, Ref
from virt_operator.strategy.trust import REGISTRATIONS
from virt_operator.suite.actions import Apply, Delete, Replace

from tests.unit.operator.suites import INSTALL, OPERATOR, changed, installed, live, suite

API, CONTROLLER = (Ref("PodDisruptionBudget", "kubevirt", f"{app}-pdb") for app in ("virt-api", "virt-controller"))


def budgets(replicas: int) -> dict[str, Body]:
    objects = desired_objects(msgspec.structs.replace(INSTALL, replicas=replicas))
    return {body["metadata"]["name"]: body for body in objects if body["kind"] == "PodDisruptionBudget"}


def test_one_replica_may_be_away() -> None:
    for replicas in (2, 3):
        found = budgets(replicas)
        assert list(found) == [API.name, CONTROLLER.name]
        assert {body["spec"]["minAvailable"] for body in found.values()} == {replicas - 1}
    assert budgets(1) == {}


def test_a_budget_counts_the_pods_of_its_deployment() -> None:
    objects = {(body["kind"], body["metadata"]["name"]): body for body in desired_objects(INSTALL)}
    for app in ("virt-api", "virt-controller"):
        made = objects["Deployment", app]["spec"]["template"]["metadata"]["labels"]
        wanted = objects["PodDisruptionBudget", f"{app}-pdb"]["spec"]["selector"]["matchLabels"]
        assert wanted and wanted.items() <= made.items()


def test_a_changed_budget_is_put_right() -> None:
    body = budgets(2)[API.name]
    loose = changed(installed(), API, live({**body, "spec": {**body["spec"], "minAvailable": 0}}, {}))
    (action,) = plan(loose, OPERATOR).actions
    assert isinstance(action, Apply | Replace)
    assert (action.ref, action.why) == (API, ".spec.minAvailable")


def test_a_budget_that_is_not_wanted_any_more_is_removed() -> None:
    other = Ref("PodDisruptionBudget", "kubevirt", "virt-other-pdb")
    more = changed(installed(), other, live({**budgets(2)[API.name], "metadata": {"name": other.name}}, {}))
    (action,) = plan(more, OPERATOR).actions
    assert isinstance(action, Delete)
    assert action.ref == other


def test_budgets_go_with_the_suite() -> None:
    deleting = suite(deletion_timestamp="2026-01-31T10:00:00Z")
    everything = installed()
    workloads = ("CustomResourceDefinition", *REGISTRATIONS, "Deployment", "DaemonSet")
    left = {ref: stored for ref, stored in everything.owned.items() if ref.kind not in workloads}
    decided = plan_removal(replace(everything, suite=deleting, owned=left, pods=()), deleting, OPERATOR)
    assert {API, CONTROLLER} <= {action.ref for action in decided.actions if isinstance(action, Delete)}
