"""The ControllerRevision of a start is kept for the next one, as long as that starts the same."""

from __future__ import annotations

from typing import Any

import pytest
from virt_controller.vm.actions import CreateInstance, DeleteRevision
from virt_controller.vm.execute import Executor
from virt_controller.vm.start import instance, revision
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import CONTROLLER_REVISIONS, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused
from virt_core.vm.virtual_machine import VirtualMachine

from tests.unit.controller.vm_world import KEY, VmWorld, admit_as_virt_api_does

VM = Place.parse(VIRTUAL_MACHINES.path(*KEY))
READY = {"type": "Ready", "status": "True"}
FOUND = ["GET"]
"""By which a controller that has not seen a ControllerRevision makes sure that it is there."""


async def stopped(server: FakeApiServer, client: KubeClient, strategy: str = "Halted", **chosen: str) -> VmWorld:
    """A VirtualMachine whose guest ran and was stopped."""
    server.admit = admit_as_virt_api_does
    world = VmWorld(server, strategy, {"spec": {"domain": {"devices": {}}}})
    if chosen:
        world.size(chosen["instancetype"], 1)
        world.choose(**chosen)
    world.request("start")
    await world.settle(client)
    await runs(world, client)
    world.request("stop")
    await world.settle(client)
    await goes(world, client)
    return world


async def runs(world: VmWorld, client: KubeClient) -> None:
    """A handler."""
    world.report("Running", conditions=[READY])
    await world.settle(client)


async def goes(world: VmWorld, client: KubeClient) -> None:
    """The pod of a deleted guest is gone."""
    world.finish_deletion()
    await world.settle(client)


async def starts(world: VmWorld, client: KubeClient) -> None:
    """A user."""
    world.request("start")
    await world.settle(client)


def revision_requests(world: VmWorld) -> list[str]:
    """Methods of requests about ControllerRevisions."""
    return [request[0] for request in world.server.requests if "controllerrevisions" in request[1]]


def started_with(world: VmWorld) -> Any:
    """The spec that the guest's ControllerRevision keeps."""
    return world.revision(world.vmi["status"]["virtualMachineRevisionName"])["data"]["spec"]


@pytest.mark.parametrize("strategy", ["Halted", "Manual"])
async def test_one_that_was_edited_is_started_with_another_revision_and_the_old_one_goes(
    server: FakeApiServer, client: KubeClient, strategy: str
) -> None:
    world = await stopped(server, client, strategy)
    (old,) = world.revisions
    world.edit("128Mi")
    await starts(world, client)
    assert started_with(world) == world.vm["spec"]
    await runs(world, client)
    (new,) = world.revisions
    assert new != old
    assert world.status["startRevision"]["name"] == new == world.vmi["status"]["virtualMachineRevisionName"]
    assert not world.condition("RestartRequired")


async def test_an_edit_that_is_taken_back_before_the_start_is_none(server: FakeApiServer, client: KubeClient) -> None:
    world = await stopped(server, client)
    (old,) = world.revisions
    world.edit("128Mi")
    await world.settle(client)
    server.store.merge_patch(VM, {"spec": {"template": {"spec": {"domain": {"memory": None}}}}})
    server.requests.clear()
    await starts(world, client)
    assert revision_requests(world) == FOUND
    assert (started_with(world), world.revisions) == (world.vm["spec"], [old])


async def test_a_guest_that_was_started_again_needs_a_restart_by_field(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await stopped(server, client)
    await starts(world, client)
    await runs(world, client)
    world.edit("128Mi")
    await world.settle(client)
    assert "domain.memory" in world.condition("RestartRequired")["message"]
    world.request("restart")
    await world.settle(client)
    await goes(world, client)
    await runs(world, client)
    assert not world.condition("RestartRequired")
    assert started_with(world) == world.vm["spec"]
    assert len(world.revisions) == 1


async def test_one_with_an_instance_type_is_started_again_with_the_revisions_of_its_first_start(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await stopped(server, client, instancetype="small")
    first = sorted(world.revisions)
    world.size("small", 2)
    server.requests.clear()
    await starts(world, client)
    assert "POST" not in revision_requests(world)
    assert sorted(world.revisions) == first
    assert world.vmi["spec"]["domain"]["cpu"]["sockets"] == 1


async def test_another_instance_type_is_another_start(server: FakeApiServer, client: KubeClient) -> None:
    world = await stopped(server, client, instancetype="small")
    world.size("large", 2)
    world.choose(instancetype="large")
    await starts(world, client)
    await runs(world, client)
    assert started_with(world)["instancetype"]["name"] == "large"
    assert len([name for name in world.revisions if name.startswith("revision-start")]) == 1


@pytest.mark.parametrize("wiped", [{"instancetypeRef": None}, None])
async def test_a_start_of_the_same_generation_with_another_instance_type_replaces_what_is_kept(
    server: FakeApiServer, client: KubeClient, wiped: Any
) -> None:
    world = await stopped(server, client, "Manual", instancetype="small")
    world.size("small", 2)
    server.store.merge_patch(VM, {"status": wiped})  # a user, or a restored backup
    await world.settle(client)
    await starts(world, client)
    await runs(world, client)
    assert world.vmi["spec"]["domain"]["cpu"]["sockets"] == 2
    used = world.status["instancetypeRef"]["controllerRevisionRef"]["name"]
    assert started_with(world)["instancetype"]["revisionName"] == used
    server.store.merge_patch(VM, {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 5}}}})
    await world.settle(client)
    assert "cpu" not in world.condition("RestartRequired")["message"]
    world.request("stop")
    await world.settle(client)
    await goes(world, client)
    server.store.merge_patch(VM, {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": None}}}})
    server.requests.clear()
    await starts(world, client)
    assert revision_requests(world).count("POST") == 0
    assert started_with(world) == {**world.vm["spec"], "instancetype": {"name": "small", "revisionName": used}}


async def test_a_revision_that_another_release_has_deleted_is_there_again_after_a_start(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await stopped(server, client)
    (name,) = world.revisions
    server.store.remove(Place.parse(CONTROLLER_REVISIONS.path("ns", name)))
    await starts(world, client)
    await runs(world, client)
    assert (started_with(world), world.revisions) == (world.vm["spec"], [name])


async def test_a_controller_looks_once_for_a_revision(server: FakeApiServer, client: KubeClient) -> None:
    world = await stopped(server, client, "Manual")
    executor = Executor(client, EventRecorder(client, "test", "test"), lambda _: None, lambda _: None)
    vm = VirtualMachine.of(world.vm)
    (name,) = world.revisions
    start = CreateInstance(instance(vm, {"spec": {}}, revision=name, paused=False), revision(vm, name), reused=True)
    gone = Place.parse(VIRTUAL_MACHINE_INSTANCES.path(*KEY))
    server.requests.clear()
    for _ in range(2):
        await executor.execute(vm, (start,))
        server.store.remove(gone)
    assert revision_requests(world) == FOUND
    await executor.execute(vm, (DeleteRevision("another"), start))
    server.store.remove(gone)
    assert revision_requests(world) == [*FOUND, "DELETE"]
    await executor.execute(vm, (DeleteRevision(name), start))
    assert revision_requests(world) == [*FOUND, "DELETE", "DELETE", "GET", "POST"]


async def test_a_revision_that_may_not_have_been_created_is_not_relied_on(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = VmWorld(server, "Manual")
    await world.settle(client)

    def die(method: str, place: Place) -> None:
        if method == "POST" and place.plural == CONTROLLER_REVISIONS.plural:
            raise Refused(409, "Conflict", "the controller is dead")

    world.request("start")
    server.fault = die
    await world.overtake(client, lambda: None)
    assert world.status["created"] is True and world.revisions == []
    server.fault = lambda _method, _place: None
    await world.settle(client)
    assert started_with(world) == world.vm["spec"]


async def test_a_refused_start_keeps_the_revision(server: FakeApiServer, client: KubeClient) -> None:
    world = await stopped(server, client)
    before = world.revisions

    def admit(place: Place, _: Object) -> None:
        if place.plural == VIRTUAL_MACHINE_INSTANCES.plural:
            raise Refused(403, "Forbidden", "exceeded quota")

    server.admit = admit
    server.requests.clear()
    world.request("start")
    for _ in range(3):
        await world.overtake(client, lambda: None)
    assert world.condition("Failure")["reason"] == "FailedCreate"
    assert (world.revisions, set(revision_requests(world))) == (before, {"GET"})
    server.admit = admit_as_virt_api_does
    await world.settle(client)
    assert world.vmi["status"]["virtualMachineRevisionName"] == before[0]


async def test_a_guest_that_ends_before_its_revision_is_recorded_leaves_none(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await stopped(server, client, "Manual")
    world.edit("128Mi")

    def end(place: Place, body: Object) -> None:
        admit_as_virt_api_does(place, body)
        if place.plural == VIRTUAL_MACHINE_INSTANCES.plural:
            body["status"]["phase"] = "Failed"
            body["metadata"]["finalizers"] = [*body["metadata"]["finalizers"], "example.com/hold"]

    server.admit = end
    await starts(world, client)
    assert world.vmi["metadata"]["finalizers"] == ["example.com/hold"]
    assert (world.revisions, world.status.get("startRevision")) == ([], None)


async def test_a_controller_that_is_behind_deletes_no_revision_that_is_kept(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.admit = admit_as_virt_api_does
    world = VmWorld(server, "Once")
    await world.settle(client)
    assert "startRevision" not in world.status
    (name,) = world.revisions
    world.report("Failed")
    kept = {"name": name, "digest": "x"}
    await world.overtake(client, lambda: server.store.merge_patch(VM, {"status": {"startRevision": kept}}))
    assert world.revisions == [name]
    await world.settle(client)
    assert world.revisions == [name]


@pytest.mark.parametrize("orphan", [True, False])
async def test_no_revision_of_a_stopped_one_is_orphaned(
    server: FakeApiServer, client: KubeClient, orphan: bool
) -> None:
    world = await stopped(server, client)
    world.delete(orphan=orphan)
    await world.settle(client)
    if orphan:
        assert world.revisions == []
    else:
        assert world.vm is None and revision_requests(world).count("DELETE") == 0  # the garbage collector's work


@pytest.mark.parametrize("orphan", [True, False])
async def test_a_name_in_the_status_that_is_no_revision_of_it_is_left_alone(
    server: FakeApiServer, client: KubeClient, orphan: bool
) -> None:
    world = await stopped(server, client)
    digest = world.status["startRevision"]["digest"]
    server.put(CONTROLLER_REVISIONS.path("ns"), {"metadata": {"name": "web-5d8f"}, "data": {}})
    server.store.merge_patch(VM, {"status": {"startRevision": {"name": "web-5d8f", "digest": digest}}})
    await starts(world, client)
    assert started_with(world) == world.vm["spec"]
    await runs(world, client)
    world.request("stop")
    await world.settle(client)
    await goes(world, client)
    world.delete(orphan=orphan)
    await world.settle(client)
    assert "web-5d8f" in world.revisions
