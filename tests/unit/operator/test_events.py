"""Events in `kubectl describe kv`: each change once, an idle pass never."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import msgspec
import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import EVENTS, Resource
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_core.objects.upgrade_status import Upgrade
from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.change.plan import plan
from virt_operator.reconcile.events import SuiteEvent, event_of
from virt_operator.reconcile.reconciler import Reconciler
from virt_operator.reconcile.status import status_of
from virt_operator.removal.plan import plan_removal
from virt_operator.strategy.ref import Body, ref_of
from virt_operator.suite.observed import Observed

from tests.unit.operator.suites import (
    API,
    INSTALL,
    NOW,
    OPERATOR,
    changed,
    desired_objects,
    installed,
    live,
    ready_status,
    recorded,
    suite,
)

NEW = KubeVirtStatus()


def status(observed: Observed, failure: str | None = None) -> KubeVirtStatus:
    assert observed.suite is not None
    return status_of(observed.suite, observed, plan(observed, OPERATOR), OPERATOR, failure)


INSTALLING = status(Observed(now=NOW, suite=suite()))
READY = status(replace(installed(), suite=suite()))


def steady(**spec: str) -> Observed:
    return replace(installed(), suite=suite(spec, READY))


def lost_pods(available: int) -> KubeVirtStatus:
    body = next(body for body in desired_objects(INSTALL) if ref_of(body) == API)
    return status(changed(steady(), API, live(body, {**ready_status(body), "availableReplicas": available})))


def test_installation_is_reported_when_it_begins_and_when_it_is_done() -> None:
    assert event_of(NEW, INSTALLING) == SuiteEvent("DeploymentInProgress", "installing v1.2.3")
    assert event_of(INSTALLING, READY) == SuiteEvent("AllComponentsReady", "installed v1.2.3")


def test_update_is_reported_with_both_versions() -> None:
    updating = status(steady(imageTag="v1.3.0"))
    assert event_of(READY, updating) == SuiteEvent("UpdateInProgress", "begun: v1.2.3 to v1.3.0")
    target = msgspec.structs.replace(INSTALL, tag="v1.3.0")
    recording = recorded(suite({"imageTag": "v1.3.0"}, updating), target)
    newer = replace(installed(target), suite=recording, operator=None)
    assert event_of(updating, status(newer)) == SuiteEvent("AllComponentsReady", "done: v1.2.3 to v1.3.0")


def test_a_rollback_is_reported_as_a_rollback() -> None:
    going_back = msgspec.structs.replace(
        status(steady(imageTag="v1.1.0")), upgrade=Upgrade("Rollback", "", "", from_version="v1.2.3")
    )
    assert event_of(READY, going_back) == SuiteEvent("UpdateInProgress", "begun: rollback from v1.2.3 to v1.1.0")
    back = msgspec.structs.replace(
        READY,
        observed_kube_virt_version="v1.1.0",
        target_kube_virt_version="v1.1.0",
        observed_deployment_id="older",
        target_deployment_id="older",
    )
    assert event_of(going_back, back) == SuiteEvent("AllComponentsReady", "done: rollback from v1.2.3 to v1.1.0")


def test_a_second_target_during_an_update_is_reported() -> None:
    updating, further = status(steady(imageTag="v1.3.0")), status(steady(imageTag="v1.4.0"))
    assert event_of(updating, further) == SuiteEvent("UpdateInProgress", "begun: v1.2.3 to v1.4.0")


def test_other_settings_of_the_same_version_are_reported() -> None:
    found = event_of(READY, status(steady(imageRegistry="other.example")))
    assert found == SuiteEvent("UpdateInProgress", "begun: other images or settings of v1.2.3")


def test_a_cancelled_update_is_reported() -> None:
    updating = status(steady(imageTag="v1.3.0"))
    half = replace(installed(msgspec.structs.replace(INSTALL, tag="v1.3.0")), suite=suite(status=updating))
    found = event_of(updating, status(half))
    assert found == SuiteEvent("UpdateInProgress", "begun: back to v1.2.3, the update is cancelled")


def test_a_refused_spec_warns_once_for_each_refusal() -> None:
    refused, other = (status(steady(imagePullPolicy=value)) for value in ("Sometimes", "Seldom"))
    found = event_of(READY, refused)
    assert found is not None and found.warning
    assert found.reason == "InvalidField" and "spec.imagePullPolicy: 'Sometimes'" in found.message
    assert event_of(refused, refused) is None
    assert event_of(refused, other) is not None
    assert event_of(refused, READY) is None  # nothing was done, so nothing is done again


def test_degraded_warns_with_the_reason_and_recovery_is_reported() -> None:
    degraded = lost_pods(1)
    found = event_of(READY, degraded)
    assert found is not None and found.warning and found.reason == "ComponentsNotReady"
    assert "Deployment kubevirt/virt-api: 1 of 2 pods are ready" in found.message
    assert event_of(degraded, READY) == SuiteEvent("AllComponentsReady", "all components are ready again")


def test_a_message_that_only_counts_pods_is_no_change() -> None:
    updating = status(steady(imageTag="v1.3.0"))
    conditions = [msgspec.structs.replace(condition, message="2 of 3") for condition in updating.conditions]
    assert event_of(updating, msgspec.structs.replace(updating, conditions=conditions)) is None


def test_an_unavailable_suite_warns_during_any_operation_and_its_return_is_reported() -> None:
    degraded, lost = lost_pods(1), lost_pods(0)
    found = event_of(degraded, lost)
    assert found is not None and found.warning and found.reason == "ComponentsNotReady"
    assert "virt-api: no replica is available" in found.message
    assert event_of(lost, degraded) == SuiteEvent("ComponentsNotReady", "available again")
    updating = status(steady(imageTag="v1.3.0"))
    cut_off = [
        msgspec.structs.replace(condition, status="False", message="virt-api: no replica is available")
        if condition.type == "Available"
        else condition
        for condition in updating.conditions
    ]
    outage = msgspec.structs.replace(updating, conditions=cut_off)
    expected = SuiteEvent("UpdateInProgress", "virt-api: no replica is available", warning=True)
    assert event_of(updating, outage) == expected
    assert event_of(outage, outage) is None


def test_a_failure_warns_once_and_its_end_is_reported() -> None:
    failed = status(steady(imageTag="v1.3.0"), failure="403: no")
    assert event_of(READY, failed) == SuiteEvent("DeploymentFailed", "403: no", warning=True)
    assert event_of(failed, failed) is None
    mended = event_of(failed, status(steady(imageTag="v1.3.0")))
    assert mended == SuiteEvent("UpdateInProgress", "begun: v1.2.3 to v1.3.0")


def test_removal_is_reported_once() -> None:
    terminating = suite(status=READY, deletion_timestamp="2026-01-31T10:00:00Z")
    busy, empty = replace(installed(), suite=terminating), Observed(now=NOW, suite=terminating)
    deleting, deleted = (
        status_of(terminating, observed, plan_removal(observed, terminating, OPERATOR), OPERATOR, None)
        for observed in (busy, empty)
    )
    assert event_of(READY, deleting) == SuiteEvent("DeletionInProgress", "removing the suite")
    assert deleting.phase != deleted.phase
    assert event_of(deleting, deleted) is None


@pytest.mark.parametrize("settled", [NEW, INSTALLING, READY], ids=["new", "installing", "ready"])
def test_an_idle_pass_records_no_event(settled: KubeVirtStatus) -> None:
    assert event_of(settled, settled) is None


class Writes:
    """Takes what the reconciler writes; its watches are not run."""

    def __init__(self) -> None:
        self.events: list[Body] = []

    async def merge_patch(self, *_: object) -> Body:
        return {"metadata": {"name": "kubevirt", "namespace": "kubevirt"}}

    async def create(self, resource: Resource, namespace: str, body: Body) -> Body:
        assert (resource, namespace) == (EVENTS, "kubevirt")
        self.events.append(body)
        return body


async def test_a_pass_that_does_not_see_its_own_status_yet_repeats_no_event() -> None:
    client = Writes()
    reconciler = Reconciler(cast(KubeClient, client), AuthorityWatch(cast(KubeClient, client), "kubevirt"), OPERATOR)
    behind = suite()
    await reconciler._write_status(behind, INSTALLING)
    await reconciler._write_status(behind, INSTALLING)
    await reconciler._write_status(behind, READY)
    await reconciler._write_status(suite(status=READY), READY)
    assert [event["note"] for event in client.events] == ["installing v1.2.3", "installed v1.2.3"]
    assert {event["regarding"]["kind"] for event in client.events} == {"KubeVirt"}
