"""A KubeVirt object without its status, as after a restore from a backup: the running suite is not installed again."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_operator.change.plan import plan
from virt_operator.reconcile.status import status_of
from virt_operator.strategy.ref import WORKLOADS, Ref, ref_of
from virt_operator.suite.lost_status import recovered
from virt_operator.suite.observed import Observed

from tests.unit.operator.suites import (
    API,
    INSTALL,
    NOW,
    OPERATOR,
    changed,
    desired_objects,
    expecting,
    installed,
    live,
    ready_status,
    suite,
    without,
)

NEWER = msgspec.structs.replace(INSTALL, tag="v1.3.0")


def wiped(observed: Observed) -> Observed:
    assert observed.suite is not None
    gone = msgspec.structs.replace(observed.suite, status=KubeVirtStatus())
    return replace(observed, suite=recovered(gone, observed.owned))


def status(observed: Observed) -> KubeVirtStatus:
    assert observed.suite is not None
    return status_of(observed.suite, observed, plan(observed, OPERATOR), OPERATOR, None)


def available(found: KubeVirtStatus) -> str:
    return next(
        f"{condition.status} {condition.reason}" for condition in found.conditions if condition.type == "Available"
    )


def test_a_suite_that_runs_is_deployed_at_once() -> None:
    decided = plan(wiped(installed()), OPERATOR)
    assert (decided.actions, decided.waits, decided.operation) == ((), (), "")
    found = status(wiped(installed()))
    assert (found.phase, available(found)) == ("Deployed", "True AllComponentsReady")
    assert (found.observed_deployment_id, found.observed_release) == (INSTALL.deployment_id, OPERATOR.release)


def test_a_suite_that_lacks_a_replica_is_degraded_and_serves() -> None:
    body = next(body for body in desired_objects() if ref_of(body) == API)
    found = status(wiped(changed(installed(), API, live(body, {**ready_status(body), "availableReplicas": 1}))))
    assert available(found) == "True ComponentsNotReady"


def test_an_update_of_it_is_an_update_and_what_is_installed_is_kept_in_repair_meanwhile() -> None:
    observed = wiped(expecting(installed(), {"imageTag": "v1.3.0"}, release="v1.3.0"))
    assert plan(observed, OPERATOR).operation == "Update"
    assert available(status(observed)) == "True UpdateInProgress"
    broken = without(observed, Ref("Service", "kubevirt", "virt-api"))
    assert "Service" in {getattr(action, "ref", API).kind for action in plan(broken, OPERATOR).actions}


@pytest.mark.parametrize("installed_first", [True, False], ids=["halfway", "nothing"])
def test_what_is_not_of_one_installation_is_not_guessed(installed_first: bool) -> None:
    body = next(body for body in desired_objects(NEWER) if body["kind"] == "DaemonSet")
    halfway = changed(installed(), Ref("DaemonSet", "kubevirt", "virt-handler"), live(body, ready_status(body)))
    observed = halfway if installed_first else Observed(now=NOW, suite=suite())
    assert recovered(suite(), observed.owned) == suite()


def test_an_update_that_a_restore_met_halfway_goes_on_in_order() -> None:
    halfway = installed()
    for body in desired_objects(NEWER):
        if body["kind"] in WORKLOADS and body["metadata"]["name"] != "virt-api":
            halfway = changed(halfway, ref_of(body), live(body, ready_status(body)))
    decided = plan(wiped(halfway), OPERATOR)
    assert decided.operation == "Install"  # nobody can tell any more what was complete
    assert "virt-controller comes first" in "; ".join(wait.why for wait in decided.waits)


def test_a_status_that_is_there_stays_as_it_is() -> None:
    deploying = suite(status=KubeVirtStatus(phase="Deploying"))
    assert recovered(deploying, installed().owned) == deploying
