"""A guest is handed off when its target pod has a node; until the target is ready the controller decides alone."""

from __future__ import annotations

from typing import Any

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import NODES, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS
from virt_core.testing.api_server import FakeApiServer

from tests.unit.controller.migration_world import JOB, MigrationWorld

_PULLING = {"name": "compute", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}


def _phases(world: MigrationWorld) -> list[str]:
    return [entered["phase"] for entered in world.job["status"]["phaseTransitionTimestamps"]]


async def _bound(server: FakeApiServer, client: KubeClient, *statuses: Any) -> MigrationWorld:
    world = MigrationWorld(server)
    await world.settle(client)
    world.bind_target(initContainerStatuses=list(statuses))
    await world.settle(client)
    return world


async def test_the_hand_off_does_not_wait_for_the_kubelet(server: FakeApiServer, client: KubeClient) -> None:
    world = await _bound(server, client)
    target = world.target["metadata"]["uid"]
    assert (world.phase, world.state["targetPodUID"]) == ("Scheduling", target)
    assert world.vmi["metadata"]["labels"]["kubevirt.io/migrationTargetNodeName"] == "node2"
    world.run_target()
    await world.settle(client)
    assert world.phase == "PreparingTarget"


async def test_a_handler_that_is_faster_than_the_kubelet_goes_on(server: FakeApiServer, client: KubeClient) -> None:
    world = await _bound(server, client)
    world.prepare()
    await world.settle(client)
    assert _phases(world) == ["Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running"]


async def test_one_that_is_canceled_before_its_target_is_ready_leaves_nothing(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await _bound(server, client)
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
    world = await _bound(server, client)
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
    assert world.state["startTimestamp"] and world.state["endTimestamp"]


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
