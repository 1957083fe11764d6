"""A guest is handed off when its target pod runs; until its copy begins the controller decides alone."""

from __future__ import annotations

from typing import Any

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import NODES, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS
from virt_core.testing.api_server import FakeApiServer

from tests.unit.controller.migration_world import JOB, MigrationWorld

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


async def test_a_guest_is_handed_off_when_the_kubelet_says_that_the_target_runs(
    server: FakeApiServer, client: KubeClient
) -> None:
    """Its pod then is Ready as soon as the guest is there: a Service misses it for no longer than that takes."""
    world = await _bound(server, client)
    assert (world.phase, world.state) == ("Scheduling", None)
    world.run_target()
    await world.settle(client)
    assert (world.phase, world.state["targetPodUID"]) == ("PreparingTarget", world.target["metadata"]["uid"])


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
