"""Phase and conditions, as `kubectl wait` and KubeVirt's users read them."""

from __future__ import annotations

from dataclasses import replace

from virt_core.objects.kubevirt import KubeVirtStatus, by_precedence
from virt_operator.change.plan import plan
from virt_operator.reconcile.status import second_object_status, status_of
from virt_operator.removal.plan import plan_removal
from virt_operator.strategy.ref import Ref, ref_of
from virt_operator.suite.observed import Observed, SuiteObject

from tests.unit.operator.suites import (
    API,
    INSTALL,
    NOW,
    OPERATOR,
    changed,
    deployed,
    desired_objects,
    installed,
    live,
    ready_status,
    suite,
    without,
)

STEADY = ("Available", "Progressing", "Degraded")


def status(observed: Observed, failure: str | None = None) -> KubeVirtStatus:
    assert observed.suite is not None
    return status_of(observed.suite, observed, plan(observed, OPERATOR), OPERATOR, failure)


def three(found: KubeVirtStatus) -> str:
    by_type = {condition.type: condition for condition in found.conditions}
    return "/".join(by_type[kind].status[0] for kind in STEADY) + " " + by_type["Available"].reason


def others(found: KubeVirtStatus) -> dict[str, str]:
    return {
        condition.type: f"{condition.status} {condition.reason}"
        for condition in found.conditions
        if condition.type not in STEADY
    }


def test_installing() -> None:
    found = status(Observed(now=NOW, suite=suite()))
    assert (found.phase, three(found)) == ("Deploying", "F/T/F DeploymentInProgress")
    assert found.target_kube_virt_version == "v1.2.3"
    assert found.observed_kube_virt_version == ""
    assert found.observed_generation == 0


def test_ready_only_when_all_is_there_and_runs() -> None:
    fresh = replace(installed(), suite=suite())
    found = status(fresh)
    assert (found.phase, three(found)) == ("Deployed", "T/F/F AllComponentsReady")
    assert others(found) == {"Created": "True AllResourcesCreated", "Finalized": "True Finalized"}
    assert found.observed_deployment_id == found.target_deployment_id == INSTALL.deployment_id
    assert (found.observed_kube_virt_version, found.observed_generation) == ("v1.2.3", 1)

    body = next(body for body in desired_objects(INSTALL) if ref_of(body) == API)
    starting = changed(fresh, API, live(body, {**ready_status(body), "availableReplicas": 1}))
    assert three(status(starting)) == "F/T/F DeploymentInProgress"
    assert "1 of 2 pods are ready" in status(starting).conditions[0].message


def test_a_steady_suite_writes_nothing() -> None:
    settled = status(replace(installed(), suite=suite()))
    again = replace(installed(), suite=suite(status=settled))
    assert status(again) == settled


def test_updating_stays_available_and_deployed() -> None:
    found = status(replace(installed(), suite=suite({"imageTag": "v1.3.0"}, status(installed()))))
    assert (found.phase, three(found)) == ("Deployed", "T/T/T UpdateInProgress")
    assert others(found) == {"Finalized": "True Finalized"}
    assert (found.observed_kube_virt_version, found.target_kube_virt_version) == ("v1.2.3", "v1.3.0")


def test_an_installed_suite_that_lost_pods_is_degraded() -> None:
    body = next(body for body in desired_objects(INSTALL) if ref_of(body) == API)
    one_left = changed(installed(), API, live(body, {**ready_status(body), "availableReplicas": 1}))
    assert three(status(one_left)) == "T/F/T ComponentsNotReady"
    none_left = changed(installed(), API, live(body, {**ready_status(body), "availableReplicas": 0}))
    assert three(status(none_left)) == "F/F/T ComponentsNotReady"


def test_failure_is_reported_and_the_running_release_stays_available() -> None:
    first = status(Observed(now=NOW, suite=suite()), failure="403: no")
    assert three(first) == "F/F/T DeploymentFailed"
    assert others(first) == {"Synchronized": "False DeploymentFailed"}
    without_role = without(installed(), Ref("ClusterRole", "", "kubevirt-handler"))
    later = status(replace(without_role, suite=suite(status=deployed())), failure="403: no")
    assert three(later) == "T/F/T DeploymentFailed"


def test_refused_spec_changes_only_synchronized() -> None:
    settled = status(installed())
    found = status(replace(installed(), suite=suite({"workloads": {"replicas": 3}}, settled)))
    assert three(found) == "T/F/F AllComponentsReady"
    assert others(found)["Synchronized"] == "False UnsupportedField"
    assert found.observed_generation == settled.observed_generation
    mended = status(replace(installed(), suite=suite(status=found)))
    assert "Synchronized" not in others(mended)


def test_removal_is_reported_until_nothing_is_left() -> None:
    deleting = suite(status=deployed(), deletion_timestamp="2026-01-31T10:00:00Z")
    busy = replace(installed(), suite=deleting)
    found = status_of(deleting, busy, plan_removal(busy, deleting, OPERATOR), OPERATOR, None)
    assert (found.phase, three(found)) == ("Deleting", "F/F/T DeletionInProgress")
    assert "virtualmachineinstances" in found.conditions[0].message
    empty = Observed(now=NOW, suite=deleting)
    assert status_of(deleting, empty, plan_removal(empty, deleting, OPERATOR), OPERATOR, None).phase == "Deleted"


def test_the_oldest_object_of_our_namespace_counts() -> None:
    def made(name: str, second: int, finalizers: list[str], namespace: str = "kubevirt") -> SuiteObject:
        stamp = f"2026-01-31T09:00:{second:02d}Z"
        return suite(name=name, uid=name, creation_timestamp=stamp, finalizers=finalizers, namespace=namespace)

    first, second = made("a", 1, []), made("b", 2, [])
    assert by_precedence([second, first], "kubevirt") == (first, (second,))
    holding = made("c", 3, ["kubevirt.io/foregroundDeleteKubeVirt"])
    assert by_precedence([first, holding], "kubevirt") == (holding, (first,))
    elsewhere = made("d", 0, [], "default")
    assert by_precedence([elsewhere], "kubevirt") == (None, (elsewhere,))

    observed = Observed(now=NOW, suite=first, others=(second,))
    assert others(second_object_status(second, observed, OPERATOR)) == {"Synchronized": "False ExistingDeployment"}
    alone = Observed(now=NOW, others=(elsewhere,))
    assert others(second_object_status(elsewhere, alone, OPERATOR)) == {"Synchronized": "False WrongNamespace"}
