"""A KubeVirt object without its status, as after a restore from a backup: the running suite is not installed again."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_operator.change.plan import plan
from virt_operator.change.restored import LOST, restored
from virt_operator.reconcile.status import status_of
from virt_operator.strategy.ref import WORKLOADS, Ref, ref_of
from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite.actions import Delete
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
    strategies,
    suite,
    without,
)

NEWER = msgspec.structs.replace(INSTALL, tag="v1.3.0")


def wiped(observed: Observed) -> Observed:
    assert observed.suite is not None
    gone = msgspec.structs.replace(observed.suite, status=KubeVirtStatus())
    return replace(observed, suite=restored(gone, observed.owned))


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


OLDER = msgspec.structs.replace(INSTALL, tag="v1.2.2")
FIRST, THEN = "2026-01-30T10:00:00Z", "2026-01-31T09:00:00Z"


def printed(observed: Observed, *moments: tuple[InstallSettings, str]) -> Observed:
    """`observed` with strategies that were printed at these moments."""
    found = {
        ref: msgspec.structs.replace(live, metadata=msgspec.structs.replace(live.metadata, creation_timestamp=moment))
        for settings, moment in moments
        for ref, live in strategies(settings).items()
    }
    return replace(observed, owned={**observed.owned, **found})


def test_the_way_back_is_open_again_and_its_time_begins_again() -> None:
    observed = wiped(printed(installed(), (OLDER, FIRST), (INSTALL, THEN)))
    decided, found = plan(observed, OPERATOR), status(observed)
    back = decided.way_back
    assert back is not None and found.level == back.level
    assert (back.version, back.registry, back.release) == ("v1.2.2", INSTALL.registry, "v1.2.2")
    assert (back.deployment_id, back.since, back.hardware_unknown) == (OLDER.deployment_id, THEN, LOST)
    assert decided.finalization is not None and decided.finalization.reason == "Soaking"
    assert not any(isinstance(action, Delete) for action in decided.actions), "its strategy stays"


@pytest.mark.parametrize(
    "moments",
    [
        ((OLDER, THEN), (INSTALL, FIRST)),
        ((OLDER, THEN), (INSTALL, THEN)),
        ((NEWER, FIRST), (INSTALL, THEN)),
        ((INSTALL, THEN),),
    ],
    ids=["requested later", "restored together", "newer", "none"],
)
def test_a_strategy_that_was_not_installed_before_opens_no_way(
    moments: tuple[tuple[InstallSettings, str], ...],
) -> None:
    decided = plan(wiped(printed(installed(), *moments)), OPERATOR)
    assert decided.way_back is None and decided.finalization is None


def test_an_update_that_a_restore_met_halfway_keeps_its_way_back() -> None:
    halfway = installed()
    for body in desired_objects(NEWER):
        if body["kind"] in WORKLOADS and body["metadata"]["name"] != "virt-api":
            halfway = changed(halfway, ref_of(body), live(body, ready_status(body)))
    back = plan(wiped(printed(halfway, (INSTALL, FIRST), (NEWER, THEN))), OPERATOR).way_back
    assert back is not None and back.release == "v1.2.3"


def test_the_oldest_release_is_the_one_to_go_back_to() -> None:
    oldest = msgspec.structs.replace(INSTALL, tag="v1.2.1")
    moments = ((oldest, "2026-01-29T10:00:00Z"), (OLDER, FIRST), (INSTALL, THEN))
    back = plan(wiped(printed(installed(), *moments)), OPERATOR).way_back
    assert back is not None and back.release == "v1.2.1"
