"""A guest is handed off when a node starts its target pod; until its copy begins the controller decides alone."""

from __future__ import annotations

from typing import Any

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import NODES, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS
from virt_core.testing.api_server import FakeApiServer

from tests.unit.controller.migration_world import JOB, MigrationWorld

_CREATING = {"name": "compute", "state": {"waiting": {"reason": "ContainerCreating"}}}
_RUNNING = {"name": "compute", "state": {"running": {}}}
_PULLING = {"name": "compute", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}


async def _bound(server: FakeApiServer, client: KubeClient, *statuses: Any) -> MigrationWorld:
    world = MigrationWorld(server)
    await world.settle(client)
    world.bind_target(initContainerStatuses=list(statuses))
    await world.settle(client)
    return world


async def _handed_off(server: FakeApiServer, client: KubeClient) -> MigrationWorld:
    world = await _bound(server, client)
    world.run_target()
    await world.settle(client)
    return world


async def _starting(server: FakeApiServer, client: KubeClient) -> MigrationWorld:
    """Its target pod was handed off, and does not run yet."""
    world = await _bound(server, client)
    assert (world.phase, world.state) == ("Scheduling", None)
    world.bind_target(containerStatuses=[_CREATING])
    await world.settle(client)
    assert (world.phase, world.state["targetPodUID"]) == ("Scheduling", world.target["metadata"]["uid"])
    return world


async def test_a_guest_is_handed_off_when_the_kubelet_starts_the_target(
    server: FakeApiServer, client: KubeClient
) -> None:
    """Before it says that the target runs, which may take it a second; but not before it could refuse the pod."""
    world = await _starting(server, client)
    world.run_target()
    await world.settle(client)
    assert world.phase == "PreparingTarget"


async def test_a_guest_moves_to_a_target_that_the_kubelet_has_not_reported(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await _starting(server, client)
    world.prepare()
    await world.settle(client)
    assert world.phase == "Running"
    world.arrive()
    await world.settle(client)
    assert world.phase == "Succeeded"


async def test_a_guest_is_not_handed_off_before_containers_that_a_webhook_added_run(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await _bound(server, client)
    for proxy, expected in (({"waiting": {"reason": "PodInitializing"}}, False), ({"running": {}}, True)):
        world.bind_target(containerStatuses=[_RUNNING, {"name": "proxy", "state": proxy}])
        await world.settle(client)
        assert (world.state is not None) is expected


async def test_an_image_that_cannot_be_pulled_after_the_hand_off_is_reported_and_given_up_in_time(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await _starting(server, client)
    world.bind_target(containerStatuses=[_PULLING])
    await world.settle(client)
    assert (world.phase, world.condition("Waiting")["reason"]) == ("Scheduling", "ImagePullBackOff")
    annotations = {"kubevirt.io/migrationPendingPodTimeoutSeconds": "0"}
    server.patch(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path(*JOB), {"metadata": {"annotations": annotations}})
    await _fails(world, client, "has not run in time: ImagePullBackOff")


@pytest.mark.parametrize(
    ("reason", "why"), [("Error", "is down"), ("StartError", "is down: node node2 rejected the pod")]
)
async def test_a_container_that_fails_after_the_hand_off_ends_the_migration(
    server: FakeApiServer, client: KubeClient, reason: str, why: str
) -> None:
    world = await _starting(server, client)
    failed = {"name": "kernel-boot", "state": {"terminated": {"exitCode": 1, "reason": reason}}}
    world.bind_target(containerStatuses=[_RUNNING, failed])
    await _fails(world, client, why)


async def test_a_pod_that_ends_after_the_hand_off_ends_the_migration(server: FakeApiServer, client: KubeClient) -> None:
    world = await _starting(server, client)
    world.end_pod(world.target["metadata"]["name"], "Failed")
    await _fails(world, client, "ended")


async def _fails(world: MigrationWorld, client: KubeClient, why: str) -> None:
    await world.settle(client)
    world.remove_deleted_pods()
    await world.settle(client)
    assert world.phase == "Failed" and why in world.condition("Failure")["message"]
    assert world.vmi["status"]["phase"] == "Running" and world.vmi["status"]["activePods"] == {"source": "node1"}


async def test_one_that_is_canceled_before_its_target_is_ready_leaves_nothing(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await _handed_off(server, client)
    await client.delete(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, *JOB)
    await world.settle(client)
    world.remove_deleted_pods()
    await world.settle(client)
    assert world.job is None and world.state is None and list(world.pods) == ["source"]
    assert world.vmi["status"]["activePods"] == {"source": "node1"}
    assert world.vmi["metadata"]["labels"] == {"kubevirt.io/nodeName": "node1"}
    assert "SuccessfulAbortMigration" in world.reasons


async def test_a_cancel_that_meets_a_target_that_has_just_become_ready_is_the_handlers(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await _handed_off(server, client)
    await client.delete(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, *JOB)
    await world.overtake(client, world.prepare)
    await world.settle(client)
    assert world.state["abortRequested"] is True and "completed" not in world.state
    assert world.phase == "Running"


async def test_an_image_that_cannot_be_pulled_is_reported(server: FakeApiServer, client: KubeClient) -> None:
    world = await _bound(server, client, _PULLING)
    waiting = world.condition("Waiting")
    assert (world.phase, waiting["reason"]) == ("Scheduling", "ImagePullBackOff")
    assert "no such image" in waiting["message"]


async def test_a_pod_whose_containers_do_not_start_is_given_up_in_time(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await _bound(server, client, _PULLING)
    annotations = {"kubevirt.io/migrationPendingPodTimeoutSeconds": "0"}
    server.patch(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path(*JOB), {"metadata": {"annotations": annotations}})
    await world.settle(client)
    world.remove_deleted_pods()
    await world.settle(client)
    failure = world.condition("Failure")["message"]
    assert world.phase == "Failed" and "has not run in time: ImagePullBackOff" in failure
    assert list(world.pods) == ["source"] and world.vmi["status"]["activePods"] == {"source": "node1"}


@pytest.mark.parametrize("evacuates", [False, True])
@pytest.mark.parametrize("nodes", [1, 2])
async def test_a_guest_moves_within_its_node_only_if_it_is_the_only_one(
    server: FakeApiServer, client: KubeClient, nodes: int, evacuates: bool
) -> None:
    annotations = {"kubevirt.io/evacuationMigration": "node1"} if evacuates else {}
    world = MigrationWorld(server, **annotations)
    for number in range(nodes):
        schedulable = {"labels": {"kubevirt.io/schedulable": "true"}}
        server.patch(NODES.path(None, f"node{number + 1}"), {"metadata": schedulable})
    await world.settle(client)
    stays = "podAntiAffinity" not in world.target["spec"].get("affinity", {})
    assert stays is (nodes == 1 and not evacuates)


async def test_a_cache_behind_deletes_no_pod_to_which_the_guest_was_handed_off(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = MigrationWorld(server)
    await world.settle(client)
    await client.delete(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, *JOB)

    def hand_off() -> None:
        """A leader that has ended since."""
        target = world.target["metadata"]
        world.bind_target()
        world.report(migrationUid="move-uid", sourcePodUID="source", targetPodUID=target["uid"], targetNode="node2")
        world.prepare()

    await world.overtake(client, hand_off)
    assert "deletionTimestamp" not in world.target["metadata"]
    assert world.phase == "Scheduling"
