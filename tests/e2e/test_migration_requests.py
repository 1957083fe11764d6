"""What becomes of requests to migrate one guest: refused, given up, canceled, limited, as a policy says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.cluster import NAMESPACE, apply, condition_of, get, kubectl, until
from tests.e2e.guests import Guest, await_events, running
from tests.e2e.migrations import ended, evict, launchers, migratable, migrate, migration, phase, policy, state

pytestmark = pytest.mark.parallel

NAME = "requested"
NOWHERE: dict[str, Any] = {"addedNodeSelector": {"no-node-has": "this-label"}}
LIMIT = {"kubevirt.io/migrationUnschedulablePodTimeoutSeconds": "25"}  # a busy machine sees it in flight until then


def copied(name: str) -> dict[str, Any]:
    """How far a migration's copy is; empty before that is reported."""
    found: dict[str, Any] = get("vmim", name)["status"].get("migrationState", {}).get("progress", {})
    return found


def metrics(node: str, vmi: str) -> dict[str, float]:
    """What virt-handler of the node shows of the guest, by metric."""
    pods = get("-n", NAMESPACE, "pods", "-l", "kubevirt.io=virt-handler")["items"]
    (name,) = [pod["metadata"]["name"] for pod in pods if pod["spec"]["nodeName"] == node]
    text = kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/https:{name}:8443/proxy/metrics")
    labels = f'{{name="{vmi}",namespace="default",node="{node}"}}'
    lines = [line.partition(labels) for line in text.splitlines()]
    return {metric.removeprefix("kubevirt_vmi_migration_"): float(value) for metric, found, value in lines if found}


def are_measured(measured: dict[str, float], shown: dict[str, Any]) -> bool:
    """Whether virt-handler shows at least as much of a copy as the migration's status did."""
    positive = ("data_bytes_total", "data_remaining_bytes", "memory_transfer_rate_bytes")
    has_all = all(measured.get(name, 0) > 0 for name in positive) and measured.get("dirty_memory_rate_bytes", -1) >= 0
    return has_all and measured.get("data_processed_bytes", -1) >= shown["processedBytes"]


@pytest.fixture(scope="module")
def guest(suite: None) -> Iterator[Guest]:
    """A guest that evictions are to migrate."""
    body = migratable(NAME)
    body["spec"]["evictionStrategy"] = "LiveMigrate"
    with running(body) as (only,):
        until(lambda: only.condition("LiveMigratable").get("status") == "True", "LiveMigratable")
        yield only


def test_a_target_that_no_node_takes_is_reported_and_given_up_in_time(guest: Guest) -> None:
    before = state(guest)
    apply(migration("nowhere", NAME, LIMIT, **NOWHERE))
    created = get("vmim", "nowhere")["metadata"]["uid"]
    await_events(created, lambda reasons: "migrationTargetPodUnschedulable" in reasons)
    with pytest.raises(AssertionError, match="in-flight migration detected"):
        apply(migration("second", NAME))
    status = ended("nowhere")
    assert status["phase"] == "Failed"
    assert "Unschedulable" in condition_of({"status": status}, "Failure")["message"]
    until(lambda: len(launchers(NAME)) == 1, "the target pod to go")
    assert state(guest) == before and guest.phase == "Running"


def test_a_migration_whose_target_no_node_takes_goes_when_it_is_deleted(guest: Guest) -> None:
    before = state(guest)
    apply(migration("canceled", NAME, **NOWHERE))
    until(lambda: phase("canceled") == "Scheduling" and len(launchers(NAME)) == 2, "the target pod")
    kubectl("delete", "vmim", "canceled", "--wait", "--timeout=180s")
    until(lambda: len(launchers(NAME)) == 1, "the target pod to go")
    assert state(guest) == before and guest.phase == "Running"


def test_a_slow_copy_keeps_both_pods_from_eviction_and_is_canceled_at_once(guest: Guest) -> None:
    node = guest.vmi["status"]["nodeName"]
    with policy(NAME, bandwidthPerMigration="1Mi", completionTimeoutPerGiB=90):
        apply(migration("slow", NAME))
        until(lambda: phase("slow") == "Running", "the copy")
    moving = state(guest)
    configured = moving["migrationConfiguration"]
    assert moving["migrationPolicyName"] == f"policy-of-{NAME}"
    assert (configured["bandwidthPerMigration"], configured["completionTimeoutPerGiB"]) == ("1Mi", 90)
    assert (moving["mode"], configured["progressTimeout"]) == ("PreCopy", 150)
    until(lambda: copied("slow").get("remainingBytes", 0) > 0, "how far the copy is")
    shown = copied("slow")
    assert 0 < shown["processedBytes"] < shown["totalBytes"] and 0 < shown["bytesPerSecond"] < 8 << 20
    assert shown.get("expectedEnd", shown["timestamp"]) >= shown["timestamp"]
    until(lambda: are_measured(metrics(node, NAME), shown), "the metrics")  # a busy launcher may be late for a scrape
    assert "Eviction request for target Pod" in evict(moving["targetPod"])
    assert "Eviction triggered evacuation" in evict(moving["sourcePod"])
    assert "Evacuation in progress" in evict(moving["targetPod"])
    kubectl("replace", "--raw", guest.path("evacuate/cancel"), "-f", "-", stdin="{}")
    kubectl("delete", "vmim", "slow", "--wait", "--timeout=180s")
    left = state(guest)
    assert (left["abortStatus"], left["failed"]) == ("Succeeded", True)
    assert left["failureReason"] == "Live migration aborted "
    assert left["startTimestamp"] <= left["endTimestamp"]
    until(lambda: len(launchers(NAME)) == 1, "the target pod to end")
    assert guest.vmi["status"]["nodeName"] == node and guest.phase == "Running", (guest.vmi["status"], guest.events)


def test_a_copy_over_the_limit_ends_in_kubevirts_words(guest: Guest) -> None:
    with policy(NAME, bandwidthPerMigration="1Mi", completionTimeoutPerGiB=1):
        status = migrate("limited", NAME)
    assert status["phase"] == "Failed"
    assert "Live migration is not completed after" in status["migrationState"]["failureReason"]
    assert "seconds and has been aborted" in status["migrationState"]["failureReason"]
    until(lambda: len(launchers(NAME)) == 1, "the target pod to end")
    assert guest.phase == "Running", (guest.vmi["status"], guest.events)


def test_a_workload_that_may_be_disrupted_is_suspended_over_the_limit_and_moves(guest: Guest) -> None:
    node = guest.vmi["status"]["nodeName"]
    for seconds in (4, 8, 16):  # a busy machine may not be through with a suspended guest after as many more
        limits: dict[str, Any] = {"bandwidthPerMigration": "16Mi", "completionTimeoutPerGiB": seconds}
        with policy(NAME, **limits, allowWorkloadDisruption=True, allowAutoConverge=True):
            status = migrate(f"suspended-{seconds}", NAME)
        if status["phase"] == "Succeeded":
            break
        print(status)
        until(lambda: len(launchers(NAME)) == 1, "the target pod to end")
    assert status["phase"] == "Succeeded", status
    moved = status["migrationState"]
    assert (moved["mode"], moved["sourceNode"]) == ("Paused", node)
    assert moved["migrationConfiguration"]["allowAutoConverge"] is True
    assert guest.vmi["status"]["nodeName"] != node and guest.phase == "Running" and not guest.paused


def test_a_paused_guest_moves_paused_and_can_be_unpaused(guest: Guest) -> None:
    guest.command("pause")
    until(lambda: guest.paused, "the pause")
    assert migrate("paused", NAME)["phase"] == "Succeeded"
    until(lambda: guest.paused, "the pause at the target")
    assert guest.phase == "Running"
    guest.command("unpause")
    until(lambda: not guest.paused, "the guest to run on")
