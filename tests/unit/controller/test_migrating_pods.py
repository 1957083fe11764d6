"""With two pods of one guest there is never a third, and no end of a pod is taken for the end of the guest."""

from __future__ import annotations

from typing import Any

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import NODES, PODS, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, VIRTUAL_MACHINE_INSTANCES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place

from tests.unit.controller.migration_world import VMI, MigrationWorld, handed_off

GATE = "kubevirt.io/virtual-machine-unpaused"


def job(server: FakeApiServer, name: str) -> Any:
    return server.store.get(Place.parse(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns", name)))


def waits_for(server: FakeApiServer, name: str) -> Any:
    conditions = job(server, name)["status"].get("conditions", [])
    return next((found for found in conditions if found["type"] == "Waiting"), {})


async def test_the_next_migration_waits_until_the_failed_ones_pod_is_gone(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await handed_off(server, client)
    left = world.target["metadata"]["name"]
    world.fail("the link is cut")
    await world.settle(client)
    world.add_job("again")
    await world.settle(client)
    assert len(world.pods) == 2
    assert left in waits_for(server, "again")["message"]
    world.remove_deleted_pods()
    await world.settle(client)
    assert job(server, "again")["status"]["phase"] == "Scheduling"
    assert len(world.pods) == 2 and left not in world.pods


@pytest.mark.parametrize("ended", ["1970-01-01T00:00:00Z", "2999-01-01T00:00:00Z"])
async def test_a_handler_has_ten_seconds_to_end_a_pod_without_guest_whatever_its_clock_says(
    server: FakeApiServer, client: KubeClient, ended: str
) -> None:
    world = await handed_off(server, client)
    left = world.target["metadata"]["name"]
    world.prepare()
    world.report(failed=True, completed=True, failureReason="the link is cut", endTimestamp=ended)
    for seconds in (0.0, 9.0):
        world.over_seconds = seconds
        await world.settle(client)
        assert "deletionTimestamp" not in world.pods[left]["metadata"]
    world.over_seconds = 10.0
    await world.settle(client)
    assert "deletionTimestamp" in world.pods[left]["metadata"]


async def test_an_older_request_fails_once_a_younger_one_has_begun(server: FakeApiServer, client: KubeClient) -> None:
    world = MigrationWorld(server)
    world.add_job("younger", phase="Scheduling")
    old = {"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}}
    server.patch(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns", "move"), old)
    await world.settle(client)
    assert world.phase == "Failed"
    assert len(world.pods) == 2


async def test_a_guest_has_failed_if_both_nodes_are_lost(server: FakeApiServer, client: KubeClient) -> None:
    world = await handed_off(server, client)
    world.prepare()
    server.remove(NODES.path(None, "node1"))
    await world.settle(client)
    assert world.vmi["status"]["phase"] == "Running"
    server.remove(NODES.path(None, "node2"))
    await world.settle(client)
    assert world.vmi["status"]["phase"] == "Failed"


async def test_a_target_pod_goes_when_the_guest_ends_during_the_copy(server: FakeApiServer, client: KubeClient) -> None:
    world = await handed_off(server, client)
    world.prepare()
    server.patch(VIRTUAL_MACHINE_INSTANCES.path(*VMI), {"status": {"phase": "Succeeded"}})
    await world.settle(client)
    world.remove_deleted_pods()
    await world.settle(client)
    assert world.phase == "Failed"
    assert list(world.pods) == ["source"]


async def test_a_guest_whose_new_pod_was_counted_out_has_failed_and_is_not_started_again(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await handed_off(server, client)
    world.prepare()
    world.end_pod(world.target["metadata"]["name"], "Failed")
    await world.settle(client)
    world.arrive()  # its handler has seen the guest there before the end
    world.end_pod("source")
    await world.settle(client)
    assert world.vmi["status"]["phase"] == "Failed"
    assert len(world.pods) == 2


async def test_services_do_not_send_to_a_pod_that_its_guest_has_left(server: FakeApiServer, client: KubeClient) -> None:
    world = MigrationWorld(server)
    condition = {"type": GATE, "status": "True"}
    once_a_target = {"metadata": {"labels": {"kubevirt.io/migrationJobUID": "earlier"}}}
    server.patch(PODS.path("ns", "source"), {**once_a_target, "status": {"conditions": [condition]}})
    await world.settle(client)
    world.run_target()
    await world.settle(client)
    world.prepare()
    world.arrive()
    await world.settle(client)
    (left,) = world.pods["source"]["status"]["conditions"]
    (opened,) = world.target["status"]["conditions"]
    assert (left["status"], opened["status"]) == ("True", "True"), "the Service has no ready pod for a moment"
    ready = {"status": {"conditions": [opened, {"type": "Ready", "status": "True"}]}}
    server.patch(PODS.path("ns", world.target["metadata"]["name"]), ready)
    await world.settle(client)
    (left,) = world.pods["source"]["status"]["conditions"]
    assert left["status"] == "False"


async def test_a_deleted_guest_has_not_ended_while_it_may_run_in_its_second_pod(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await handed_off(server, client)
    world.prepare()
    await client.delete(VIRTUAL_MACHINE_INSTANCES, *VMI)
    await world.settle(client)
    assert all("deletionTimestamp" in pod["metadata"] for pod in world.pods.values())
    world.end_pod("source", "Failed")
    await world.settle(client)
    assert world.vmi["status"]["phase"] == "Running"
    world.end_pod(world.target["metadata"]["name"], "Failed")
    await world.settle(client)
    assert world.vmi["status"]["phase"] == "Failed"


@pytest.mark.parametrize(("conditions", "phase"), [([], "Pending"), (["False"], "Failed"), (["True"], "Scheduling")])
async def test_a_guest_that_cannot_migrate_gets_no_second_pod(
    server: FakeApiServer, client: KubeClient, conditions: list[str], phase: str
) -> None:
    world = MigrationWorld(server)
    migratable = [{"type": "LiveMigratable", "status": one, "reason": "R", "message": "why"} for one in conditions]
    server.patch(VIRTUAL_MACHINE_INSTANCES.path(*VMI), {"status": {"conditions": migratable}})
    await world.settle(client)
    assert world.phase == phase
    assert len(world.pods) == (2 if phase == "Scheduling" else 1)
    if phase == "Failed":
        assert "why" in world.condition("Failure")["message"]
