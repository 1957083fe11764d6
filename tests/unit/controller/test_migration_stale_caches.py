"""Migrations whose controller has not seen yet what it, or a leader before it, has done."""

from __future__ import annotations

from virt_core.kube.client import KubeClient
from virt_core.kube.resource import PODS, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, VIRTUAL_MACHINE_INSTANCES
from virt_core.testing.api_server import FakeApiServer

from tests.unit.controller.migration_world import JOB, VMI, MigrationWorld, handed_off

RUNNING = {"phase": "Running", "containerStatuses": [{"name": "compute", "state": {"running": {}}}]}


async def test_a_canceled_migration_leaves_no_target_pod_that_its_controller_has_not_seen(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = MigrationWorld(server)
    await world.settle(client)
    target = world.target
    server.remove(PODS.path("ns", target["metadata"]["name"]))
    await client.delete(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, *JOB)
    await world.overtake(client, lambda: None)
    assert world.phase == "Failed"
    await world.overtake(client, lambda: server.put(PODS.path("ns"), target))
    await world.settle(client)
    world.remove_deleted_pods()
    assert list(world.pods) == ["source"] and world.job is None


async def test_a_cache_behind_deletes_no_target_pod_whose_guest_has_arrived_after_all(
    server: FakeApiServer, client: KubeClient
) -> None:
    """The target's handler overrules who took the guest for lost; the controller of guests has not seen it yet."""
    world = await handed_off(server, client)
    arrived = world.target["metadata"]["name"]
    world.prepare()
    world.fail("the target does not answer")

    def arrive() -> None:
        world.arrive()
        server.patch(VIRTUAL_MACHINE_INSTANCES.path(*VMI), {"status": {"migrationState": {"failed": None}}})

    await world.vmi_overtaken(client, arrive)
    assert "deletionTimestamp" not in world.pods[arrived]["metadata"]
    world.end_pod("source")
    await world.settle(client)
    assert "deletionTimestamp" not in world.pods[arrived]["metadata"]
    assert world.vmi["status"]["activePods"] == {world.pods[arrived]["metadata"]["uid"]: "node2"}


async def test_the_pod_of_a_guest_that_arrived_by_a_failed_migration_stays_when_it_leaves_again(
    server: FakeApiServer, client: KubeClient
) -> None:
    """The target's handler overrules who took the guest for lost."""
    world = await handed_off(server, client)
    arrived = world.target["metadata"]["name"]
    world.prepare()
    world.over_seconds = 0.0
    world.fail("the target does not answer")
    await world.settle(client)
    assert world.phase == "Failed" and "deletionTimestamp" not in world.pods[arrived]["metadata"]
    world.arrive()
    server.patch(VIRTUAL_MACHINE_INSTANCES.path(*VMI), {"status": {"migrationState": {"failed": False}}})
    world.end_pod("source")
    await world.settle(client)
    server.remove(PODS.path("ns", "source"))
    world.add_job("again")
    await world.settle(client)
    (target,) = (name for name in world.pods if name != arrived)
    server.patch(PODS.path("ns", target), {"spec": {"nodeName": "node1"}, "status": RUNNING})
    await world.settle(client)
    assert world.state["migrationUid"] == "again-uid" and world.state["sourcePod"] == arrived
    assert "deletionTimestamp" not in world.pods[arrived]["metadata"]
