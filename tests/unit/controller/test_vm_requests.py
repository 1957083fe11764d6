"""A VirtualMachine costs the API server no request that nobody needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from virt_controller.vm import plan
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.resource import CONTROLLER_REVISIONS, EVENTS, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from virt_core.objects.meta import rfc3339
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused

from tests.support.patience import PATIENCE
from tests.unit.controller.vm_world import KEY, VmWorld, admit_as_virt_api_does

VM = VIRTUAL_MACHINES.path(*KEY)
STATUS = VIRTUAL_MACHINES.path(*KEY, "status")
VMI = VIRTUAL_MACHINE_INSTANCES.path(*KEY)
VMIS = VIRTUAL_MACHINE_INSTANCES.path("ns")
REVISIONS = CONTROLLER_REVISIONS.path("ns")
READY = {"type": "Ready", "status": "True"}


def wrote(server: FakeApiServer) -> list[tuple[str, str]]:
    """All requests but those of caches, events left out."""
    methods = ("GET", "POST", "PATCH", "DELETE")
    return [request for request in server.requests if request[0] in methods and request[1] != EVENTS.path("ns")]


async def halted(server: FakeApiServer, client: KubeClient, strategy: str = "Halted") -> VmWorld:
    """A VirtualMachine at rest without guest."""
    server.admit = admit_as_virt_api_does
    world = VmWorld(server, strategy)
    await world.settle(client)
    return world


async def running(server: FakeApiServer, client: KubeClient, strategy: str = "Always") -> VmWorld:
    """The same with a guest."""
    world = await halted(server, client, strategy)
    if world.vmi is None:
        world.request("start")
        await world.settle(client)
    world.report("Running", conditions=[READY])
    await world.settle(client)
    return world


async def test_a_start_is_reported_before_it_is_made_and_when_the_guest_runs(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await halted(server, client)
    world.request("start")
    server.requests.clear()
    await world.settle(client)
    assert wrote(server) == [("PATCH", STATUS), ("POST", REVISIONS), ("POST", VMIS)]
    assert (world.status["created"], world.status["printableStatus"]) == (True, "Starting")
    server.requests.clear()
    world.report("Scheduling", nodeName="node1")
    await world.settle(client)
    assert wrote(server) == []
    world.report("Running", conditions=[READY])
    await world.settle(client)
    assert wrote(server) == [("PATCH", STATUS)]
    assert world.status["printableStatus"] == "Running"


@pytest.mark.parametrize("strategy", ["Manual", "RerunOnFailure"])
async def test_a_requested_start_is_done_only_when_there_is_a_guest(
    server: FakeApiServer, client: KubeClient, strategy: str
) -> None:
    world = await halted(server, client, "Manual")
    world.switch(strategy)
    world.request("start")

    def admit(place: Place, _: Object) -> None:
        if place.plural == VIRTUAL_MACHINE_INSTANCES.plural:
            assert world.status["stateChangeRequests"] == [{"action": "Start"}]
            assert world.status.get("runStrategy") != "RerunOnFailure"

    server.admit = admit
    await world.settle(client)
    assert world.vmi is not None
    assert "stateChangeRequests" not in world.status


async def test_a_controller_that_is_behind_starts_nothing(server: FakeApiServer, client: KubeClient) -> None:
    world = await halted(server, client)
    world.request("start")
    await world.overtake(client, lambda: world.request("stop"))
    assert (world.vmi, world.revisions) == (None, [])


async def test_a_start_that_was_reported_by_a_controller_that_died_is_made(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await halted(server, client)
    world.request("start")

    def die(method: str, place: Place) -> None:
        if method == "POST" and place.plural == CONTROLLER_REVISIONS.plural:
            raise Refused(409, "Conflict", "the controller is dead")

    server.fault = die
    await world.overtake(client, lambda: None)
    assert (world.status["created"], world.vmi) == (True, None)
    server.fault = lambda _method, _place: None
    server.requests.clear()
    await world.settle(client)
    assert wrote(server) == [("GET", VM), ("POST", REVISIONS), ("POST", VMIS)]


async def test_a_start_that_was_reported_and_is_refused_is_a_failure(server: FakeApiServer, client: KubeClient) -> None:
    world = await halted(server, client)

    def admit(place: Place, _: Object) -> None:
        if place.plural == VIRTUAL_MACHINE_INSTANCES.plural:
            raise Refused(403, "Forbidden", "exceeded quota")

    server.admit = admit
    world.request("start")
    for _ in range(3):
        await world.overtake(client, lambda: None)
    assert world.condition("Failure")["reason"] == "FailedCreate"
    assert not world.status.get("created")
    assert world.events.count("FailedCreate") == 1


async def test_a_stop_reports_once_and_reads_no_revision_before_its_guest_goes(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await running(server, client)
    world.request("stop")
    server.requests.clear()
    await world.settle(client)
    assert world.status["printableStatus"] == "Stopping"
    assert wrote(server) == [("DELETE", VMI), ("PATCH", STATUS)]


def report_end(world: VmWorld, phase: str, ago: timedelta, **status: Any) -> None:
    """A handler, by its own clock."""
    world.report(phase, **status)
    *before, last = world.vmi["status"]["phaseTransitionTimestamps"]
    last = {**last, "phaseTransitionTimestamp": rfc3339(datetime.now(UTC) - ago)}
    world.patch_vmi_status({"phaseTransitionTimestamps": [*before, last]})


async def stop(world: VmWorld, client: KubeClient) -> None:
    """A user; the guest goes within a second."""
    world.request("stop")
    await world.settle(client)
    ended = [{**READY, "status": "False", "reason": "GuestShutdown"}]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plan, "_GOING_SECONDS", PATIENCE)  # this process may wait for a processor meanwhile
        report_end(world, "Succeeded", timedelta(seconds=1), conditions=ended)
        await world.settle(client)
        world.finish_deletion()
        await world.settle(client)


STOPS = [("DELETE", VMI), ("PATCH", STATUS), ("PATCH", VMI), ("PATCH", STATUS)]


async def test_a_stopped_guest_that_goes_at_once_is_reported_when_it_is_gone(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await running(server, client)
    server.requests.clear()
    await stop(world, client)
    assert world.vmi is None
    assert wrote(server) == STOPS
    assert world.status["printableStatus"] == "Stopped"


@pytest.mark.parametrize("strategy", ["Always", "Manual", "RerunOnFailure"])
async def test_a_machine_that_has_not_changed_is_started_again_without_another_revision(
    server: FakeApiServer, client: KubeClient, strategy: str
) -> None:
    world = await running(server, client, strategy)
    first = world.revisions
    for _ in range(2):
        server.requests.clear()
        await stop(world, client)
        assert wrote(server) == STOPS
        server.requests.clear()
        world.request("start")
        await world.settle(client)
        starts = [request for request in wrote(server) if request != ("PATCH", STATUS)]
        assert starts == [("GET", f"{REVISIONS}/{first[0]}"), ("POST", VMIS)]  # a new leader's: it looks once
        world.report("Running", conditions=[READY])
        await world.settle(client)
        assert world.revisions == first
        assert world.vmi["status"]["virtualMachineRevisionName"] == first[0]
        assert world.revision(first[0])["data"]["spec"] == world.vm["spec"]


async def test_a_deletion_reads_no_revision(server: FakeApiServer, client: KubeClient) -> None:
    world = await running(server, client)
    server.requests.clear()
    world.delete()
    await world.settle(client)
    assert wrote(server) == [("PATCH", STATUS), ("DELETE", VMI)]


@pytest.mark.parametrize(("ago", "writes"), [(10, []), (60, [("PATCH", STATUS)])])
async def test_a_deletion_does_not_report_that_its_guest_has_ended_unless_that_stays(
    server: FakeApiServer, client: KubeClient, ago: int, writes: list[tuple[str, str]]
) -> None:
    world = await running(server, client)
    world.delete()
    await world.settle(client)
    server.requests.clear()
    report_end(world, "Succeeded", timedelta(seconds=ago), conditions=[{**READY, "status": "False"}])
    await world.settle(client)
    assert wrote(server) == writes
    assert world.status["printableStatus"] == "Terminating"


async def test_a_deletion_is_reported_even_if_the_guest_was_about_to_go_before(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await running(server, client)
    world.request("stop")
    await world.settle(client)
    report_end(world, "Succeeded", timedelta(seconds=1))
    world.delete()
    server.requests.clear()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plan, "_GOING_SECONDS", PATIENCE)
        await world.settle(client)
    assert wrote(server) == []  # it goes with its guest, in a moment
    report_end(world, "Succeeded", timedelta(seconds=10))
    await world.settle(client)
    assert world.status["printableStatus"] == "Terminating"


@pytest.mark.parametrize("ago", [timedelta(seconds=10), timedelta(hours=-1)])
async def test_a_stopped_guest_that_stays_is_reported(
    server: FakeApiServer, client: KubeClient, ago: timedelta
) -> None:
    world = await running(server, client)
    world.request("stop")
    await world.settle(client)
    report_end(world, "Succeeded", ago)
    await world.settle(client)
    assert world.vmi is not None
    assert world.status["printableStatus"] == "Stopped"


async def test_what_a_later_start_rests_on_is_recorded_before_its_guest_goes(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await halted(server, client, "Always")
    world.report("Scheduling", nodeName="node1")
    report_end(world, "Failed", timedelta(seconds=1))
    server.requests.clear()
    await world.settle(client)
    assert world.vmi["metadata"]["finalizers"] == ["kubevirt.io/foregroundDeleteVirtualMachine"]
    assert world.status["startFailure"]["consecutiveFailCount"] == 1
    methods = [request[0] for request in wrote(server) if request[1] in (STATUS, VMI)]
    assert methods == ["PATCH", "PATCH", "DELETE"] and wrote(server)[0] == ("PATCH", STATUS)
