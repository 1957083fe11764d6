"""What a migration reports and leaves when its target does not start, is deleted, or has to wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import (
    MIGRATION_POLICIES,
    PODS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
)
from virt_core.objects.meta import rfc3339
from virt_core.testing.api_server import FakeApiServer

from tests.unit.controller.migration_world import JOB, VMI, MigrationWorld, handed_off

UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}
EVACUATION = {"kubevirt.io/evacuationMigration": "node1"}
# Added by a webhook, with work of its own.
ADDED_AND_ENDED = {"name": "registrar", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
LONG_AGO = "2026-01-01T00:00:00Z"
ACTIVE = ("Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running")


async def scheduled(server: FakeApiServer, client: KubeClient, status: Any) -> MigrationWorld:
    """Its target pod has this status."""
    world = MigrationWorld(server)
    await world.settle(client)
    server.patch(PODS.path("ns", world.target["metadata"]["name"]), {"status": status})
    await world.settle(client)
    return world


async def test_a_target_whose_image_cannot_be_pulled_is_given_up_and_named(
    server: FakeApiServer, client: KubeClient
) -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    status = {"phase": "Pending", "containerStatuses": [{"name": "compute", "image": "gone:1", "state": waiting}]}
    world = await scheduled(server, client, status)
    assert world.phase == "Scheduling" and world.condition("Waiting")["reason"] == "ImagePullBackOff"
    moment = {"creationTimestamp": "2026-01-01T00:00:00Z"}
    server.patch(PODS.path("ns", world.target["metadata"]["name"]), {"metadata": moment})
    await world.settle(client)
    assert world.phase == "Failed" and list(world.pods) == ["source"]
    message = world.condition("Failure")["message"]
    assert "ImagePullBackOff" in message and "gone:1" in message
    assert world.state is None and world.vmi["status"]["phase"] == "Running"


async def test_a_target_is_prepared_when_all_containers_run_but_for_added_ones_that_have_ended(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = MigrationWorld(server)
    await world.settle(client)
    world.run_target()
    path = PODS.path("ns", world.target["metadata"]["name"])
    (launcher,) = world.target["status"]["containerStatuses"]
    for state, phase in (
        ({"waiting": {"reason": "ContainerCreating"}}, "Scheduling"),
        ({"running": {}}, "PreparingTarget"),
    ):
        statuses = [launcher, {"name": "volumeroot", "state": state}, ADDED_AND_ENDED]
        server.patch(path, {"status": {"containerStatuses": statuses}})
        await world.settle(client)
        assert world.phase == phase


async def test_a_target_whose_kernel_cannot_be_copied_is_given_up(server: FakeApiServer, client: KubeClient) -> None:
    failed = {"name": "kernel-boot", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}
    running = {"name": "compute", "state": {"running": {}}}
    world = await scheduled(server, client, {"phase": "Running", "containerStatuses": [running, failed]})
    assert world.phase == "Failed" and list(world.pods) == ["source"]
    assert world.vmi["status"]["phase"] == "Running"


async def test_a_target_that_the_kubelet_rejects_is_replaced_and_the_guest_moves(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = MigrationWorld(server)
    await world.settle(client)
    for times in (1, 2):
        rejected = world.reject(world.target, created=rfc3339(datetime.now(UTC) + timedelta(minutes=1)))
        await world.settle(client)
        condition = world.condition("Waiting")
        assert (world.phase, condition["status"], condition["reason"]) == ("Scheduling", "True", "PodRejected")
        assert "node2" in condition["message"] and "devices.kubevirt.io/tun" in condition["message"]
        assert world.target["metadata"]["uid"] == rejected, "its node gets time to register the device"
        assert world.reasons.count("PodRejected") == times
        world.reject(world.target, created=LONG_AGO)
        await world.settle(client)
        assert world.target["metadata"]["uid"] != rejected and not world.condition("Waiting")
    world.run_target()
    await world.settle(client)
    assert world.phase == "PreparingTarget" and world.state["targetPodUID"] == world.target["metadata"]["uid"]


async def test_a_target_that_is_noted_as_slow_and_then_rejected_is_replaced(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await scheduled(server, client, {"conditions": [UNSCHEDULABLE]})
    rejected = world.reject(world.target, created=LONG_AGO)
    await world.settle(client)
    assert world.phase == "Scheduling" and world.target["metadata"]["uid"] != rejected


@pytest.mark.parametrize(
    ("seconds", "phase", "replaced"), [(10, "Scheduling", True), (60, "Scheduling", False), (1200, "Failed", False)]
)
async def test_replacements_of_rejected_targets_get_rarer_and_end(
    server: FakeApiServer, client: KubeClient, seconds: int, phase: str, replaced: bool
) -> None:
    """The pod was rejected 20 seconds ago."""
    world = MigrationWorld(server)
    await world.settle(client)
    now = datetime.now(UTC)
    moments = [{"phase": "Scheduling", "phaseTransitionTimestamp": rfc3339(now - timedelta(seconds=seconds))}]
    server.patch(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path(*JOB), {"status": {"phaseTransitionTimestamps": moments}})
    rejected = world.reject(world.target, created=rfc3339(now - timedelta(seconds=20)))
    await world.settle(client)
    assert (world.phase, world.target["metadata"]["uid"] != rejected) == (phase, replaced)
    failure = world.condition("Failure").get("message", "")
    assert ("devices.kubevirt.io/tun" in failure) is (phase == "Failed")
    assert world.vmi["status"]["phase"] == "Running" and world.state is None


async def test_a_target_that_no_node_takes_is_an_event_once(server: FakeApiServer, client: KubeClient) -> None:
    world = await scheduled(server, client, {"conditions": [UNSCHEDULABLE]})
    await world.settle(client)
    assert world.phase == "Scheduling" and world.condition("Waiting")["reason"] == "Unschedulable"
    assert world.reasons.count("migrationTargetPodUnschedulable") == 1


async def test_a_canceled_migration_takes_the_target_that_no_node_takes_with_it(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await scheduled(server, client, {"conditions": [UNSCHEDULABLE]})
    await client.delete(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, *JOB)
    await world.settle(client)
    assert world.job is None and list(world.pods) == ["source"] and world.state is None


async def test_a_target_pod_that_is_deleted_while_it_is_prepared_fails_with_start_and_end(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await handed_off(server, client)
    assert world.phase == "PreparingTarget"
    server.remove(PODS.path("ns", world.target["metadata"]["name"]))
    await world.settle(client)
    assert world.phase == "Failed" and world.vmi["status"]["phase"] == "Running"
    state = world.job["status"]["migrationState"]
    assert state["failed"] and state["completed"] and state["startTimestamp"] and state["endTimestamp"]


async def test_an_evacuation_that_waits_after_a_failure_is_an_event_of_the_guest(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = MigrationWorld(server, **EVACUATION)
    moments = [{"phase": "Failed", "phaseTransitionTimestamp": rfc3339(datetime.now(UTC))}]
    world.add_job("earlier", phase="Failed", phaseTransitionTimestamps=moments)
    await world.settle(client)
    await world.settle(client)
    assert world.phase == "Pending" and world.condition("Waiting")["reason"] == "MigrationBackoff"
    assert world.reasons.count("MigrationBackoff") == 1 and list(world.pods) == ["source"]


async def test_of_many_requests_one_at_a_time_moves_the_guest(server: FakeApiServer, client: KubeClient) -> None:
    world = MigrationWorld(server)
    await world.settle(client)
    for number in range(5):
        world.add_job(f"more{number}")
        await world.settle(client)
        active = [body["metadata"]["name"] for body in world.jobs if body["status"].get("phase") in ACTIVE]
        assert active == ["move"] and len(world.pods) == 2


@pytest.mark.parametrize(
    ("status", "reason", "known"),
    [
        ({"conditions": []}, "NotYetKnown", {"conditions": [{"type": "LiveMigratable", "status": "True"}]}),
        ({"phase": "Scheduled"}, "GuestNotRunning", {"phase": "Running"}),
    ],
)
async def test_a_request_waits_for_a_guest_that_runs_and_is_known_to_migrate(
    server: FakeApiServer, client: KubeClient, status: dict[str, Any], reason: str, known: dict[str, Any]
) -> None:
    world = MigrationWorld(server)
    server.patch(VIRTUAL_MACHINE_INSTANCES.path(*VMI), {"status": status})
    await world.settle(client)
    assert (world.phase, world.condition("Waiting")["reason"]) == ("Pending", reason)
    assert list(world.pods) == ["source"]
    server.patch(VIRTUAL_MACHINE_INSTANCES.path(*VMI), {"status": known})
    await world.settle(client)
    assert world.phase == "Scheduling" and len(world.pods) == 2


async def test_a_policys_settings_count_before_the_clusters(server: FakeApiServer, client: KubeClient) -> None:
    world = MigrationWorld(server, {"completionTimeoutPerGiB": 5, "progressTimeout": 7, "allowAutoConverge": True})
    server.patch(VIRTUAL_MACHINE_INSTANCES.path(*VMI), {"metadata": {"labels": {"app": "web"}}})
    selectors = {"virtualMachineInstanceSelector": {"app": "web"}}
    spec = {"selectors": selectors, "completionTimeoutPerGiB": 3, "allowAutoConverge": False}
    server.put(MIGRATION_POLICIES.path(), {"metadata": {"name": "ours"}, "spec": spec})
    await world.settle(client)
    world.run_target()
    await world.settle(client)
    found = world.state["migrationConfiguration"]
    assert world.state["migrationPolicyName"] == "ours"
    assert (found["completionTimeoutPerGiB"], found["progressTimeout"], found["allowAutoConverge"]) == (3, 7, False)
