"""The table of run strategies: each row and column, against the fake API server."""

from __future__ import annotations

import pytest
from virt_api.errors import Conflict
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused

from tests.unit.controller.vm_world import VmWorld

STOPPED, EARLY = "Succeeded", "Failed"
WHY = "container kernel-boot ended: Error (exit code 1)"


async def ends_early(world: VmWorld, client: KubeClient) -> None:
    """The guest fails before it ever ran, and goes."""
    world.report(EARLY, conditions=[{"type": "Ready", "status": "False", "reason": "PodEnded", "message": WHY}])
    await world.settle(client)
    world.finish_deletion()
    await world.settle(client)


async def started(server: FakeApiServer, client: KubeClient, strategy: str) -> VmWorld:
    """A VirtualMachine whose guest runs."""
    world = VmWorld(server, strategy)
    await world.settle(client)
    if world.vmi is None:
        world.request("start")
        await world.settle(client)
    world.report("Running", conditions=[{"type": "Ready", "status": "True"}])
    await world.settle(client)
    return world


@pytest.mark.parametrize(
    ("strategy", "starts"),
    [("Always", True), ("RerunOnFailure", True), ("Once", True), ("Manual", False), ("Halted", False)],
)
async def test_a_new_one_starts_by_itself_where_its_strategy_says_so(
    server: FakeApiServer, client: KubeClient, strategy: str, starts: bool
) -> None:
    world = VmWorld(server, strategy)
    await world.settle(client)
    assert (world.vmi is not None) is starts
    assert world.status["printableStatus"] == ("Starting" if starts else "Stopped")
    assert "kubevirt.io/virtualMachineControllerFinalize" in world.vm["metadata"]["finalizers"]
    assert world.condition("Ready")["reason"] == ("VMIConditionMissing" if starts else "VMINotExists")


@pytest.mark.parametrize(
    ("strategy", "end", "after"),
    [
        ("Always", STOPPED, "another"),
        ("Always", "Failed", "another"),
        ("RerunOnFailure", STOPPED, "none"),
        ("RerunOnFailure", "Failed", "another"),
        ("Manual", STOPPED, "kept"),
        ("Manual", "Failed", "kept"),
        ("Once", STOPPED, "kept"),
        ("Once", "Failed", "kept"),
    ],
)
async def test_what_becomes_of_a_guest_that_ends(
    server: FakeApiServer, client: KubeClient, strategy: str, end: str, after: str
) -> None:
    world = await started(server, client, strategy)
    first = world.vmi["metadata"]["uid"]
    world.report(end)
    await world.settle(client)
    if after == "kept":
        assert world.vmi["metadata"]["uid"] == first
        assert world.status["printableStatus"] == "Stopped"
        return
    assert world.vmi["metadata"].get("deletionTimestamp")
    world.finish_deletion()
    await world.settle(client)
    assert (world.vmi is None) is (after == "none")
    if world.vmi is not None:
        assert world.vmi["metadata"]["uid"] != first
    assert not world.status.get("stateChangeRequests")


@pytest.mark.parametrize(
    ("strategy", "again", "kept"),
    [("Always", True, ""), ("RerunOnFailure", False, ""), ("Manual", False, ""), ("Once", True, "")],
)
async def test_a_guest_that_is_deleted_by_hand_comes_back_where_its_strategy_says_so(
    server: FakeApiServer, client: KubeClient, strategy: str, again: bool, kept: str
) -> None:
    world = await started(server, client, strategy)
    world.delete_vmi()
    await world.settle(client)
    assert world.status["printableStatus"] == "Stopping"
    world.finish_deletion()
    await world.settle(client)
    assert (world.vmi is not None) is again


@pytest.mark.parametrize("strategy", ["Always", "Once", "RerunOnFailure", "Manual"])
async def test_a_stop_ends_the_guest_for_good(server: FakeApiServer, client: KubeClient, strategy: str) -> None:
    world = await started(server, client, strategy)
    world.request("stop")
    await world.settle(client)
    world.finish_deletion()
    await world.settle(client)
    assert world.vmi is None
    assert world.status["printableStatus"] == "Stopped"
    assert world.strategy == ("Halted" if strategy in ("Always", "Once") else strategy)
    assert not world.status.get("stateChangeRequests")
    assert len(world.revisions) == 1  # for the next start


@pytest.mark.parametrize("strategy", ["Always", "RerunOnFailure", "Manual"])
async def test_a_restart_gives_a_new_guest_and_keeps_the_strategy(
    server: FakeApiServer, client: KubeClient, strategy: str
) -> None:
    world = await started(server, client, strategy)
    first = world.vmi["metadata"]["uid"]
    world.request("restart")
    await world.settle(client)
    world.finish_deletion()
    await world.settle(client)
    assert world.vmi["metadata"]["uid"] != first
    assert world.strategy == strategy
    assert not world.status.get("stateChangeRequests")


@pytest.mark.parametrize(("strategy", "then"), [("Halted", "Always"), ("Manual", "Manual")])
async def test_a_paused_start_gives_a_paused_guest(
    server: FakeApiServer, client: KubeClient, strategy: str, then: str
) -> None:
    world = VmWorld(server, strategy)
    await world.settle(client)
    world.request("start", paused=True)
    await world.settle(client)
    assert world.vmi["spec"]["startStrategy"] == "Paused"
    assert world.strategy == then
    assert not world.status.get("stateChangeRequests")


async def test_a_start_of_a_finished_manual_one_replaces_its_guest(server: FakeApiServer, client: KubeClient) -> None:
    world = await started(server, client, "Manual")
    first = world.vmi["metadata"]["uid"]
    world.report(STOPPED)
    await world.settle(client)
    world.request("start")
    await world.settle(client)
    world.finish_deletion()
    await world.settle(client)
    assert world.vmi["metadata"]["uid"] != first
    assert not world.status.get("stateChangeRequests")


@pytest.mark.parametrize(
    ("strategy", "verb", "why"),
    [
        ("Always", "start", "VM is already running"),
        ("Halted", "stop", "VM is not running"),
        ("Manual", "stop", "VM is not running"),
        ("Halted", "restart", "Halted does not support manual restart requests"),
        ("Once", "restart", "Once does not support manual restart requests"),
        ("Manual", "restart", "VMI does not exist"),
    ],
)
async def test_a_request_that_makes_no_sense_is_a_conflict(
    server: FakeApiServer, client: KubeClient, strategy: str, verb: str, why: str
) -> None:
    world = VmWorld(server, strategy)
    await world.settle(client)
    if strategy == "Always":
        world.report("Running")
    with pytest.raises(Conflict, match=why):
        world.request(verb)


async def test_a_second_request_waits_for_the_first(server: FakeApiServer, client: KubeClient) -> None:
    world = await started(server, client, "Manual")
    world.request("restart")
    with pytest.raises(Conflict, match="already underway"):
        world.request("restart")


async def test_a_guest_that_never_runs_is_started_ever_later(server: FakeApiServer, client: KubeClient) -> None:
    world = VmWorld(server, "Always")
    for count in (1, 2, 3):
        await world.settle(client)
        await ends_early(world, client)
        assert world.vmi is None
        assert world.status["startFailure"]["consecutiveFailCount"] == count
        assert world.status["printableStatus"] == "CrashLoopBackOff"
        assert world.condition("Ready")["message"] == f"VMI does not exist, its last start has failed: {WHY}"
        world.backoff_is_over()
    await world.settle(client)
    world.report("Running")
    await world.settle(client)
    assert "startFailure" not in world.status


@pytest.mark.parametrize("by", ["restart", "delete_vmi"])
async def test_a_guest_that_was_deleted_before_it_ran_is_no_crash(
    server: FakeApiServer, client: KubeClient, by: str
) -> None:
    world = VmWorld(server, "Always")
    await world.settle(client)
    first = world.vmi["metadata"]["uid"]
    world.report("Scheduling")
    if by == "restart":
        world.request("restart")
        await world.settle(client)
    else:
        world.delete_vmi()
    world.report(EARLY)
    await world.settle(client)
    world.finish_deletion()
    await world.settle(client)
    assert world.vmi["metadata"]["uid"] != first
    assert "startFailure" not in world.status


async def test_a_stop_ends_a_crash_loop(server: FakeApiServer, client: KubeClient) -> None:
    world = VmWorld(server, "Always")
    await world.settle(client)
    await ends_early(world, client)
    assert world.status["printableStatus"] == "CrashLoopBackOff"
    world.request("stop")
    await world.settle(client)
    assert (world.strategy, world.vmi, world.status["printableStatus"]) == ("Halted", None, "Stopped")
    assert "startFailure" not in world.status


async def test_a_failed_start_counts_once_however_long_its_instance_stays(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = VmWorld(server, "Always")
    await world.settle(client)
    world.report("Scheduling")
    world.report(EARLY)
    await world.settle(client)
    assert world.vmi is not None
    assert world.status["startFailure"]["consecutiveFailCount"] == 1


async def test_a_switch_to_rerun_on_failure_during_a_back_off_is_not_forgotten(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = VmWorld(server, "Always")
    await world.settle(client)
    await ends_early(world, client)
    world.switch("RerunOnFailure")
    await world.settle(client)
    assert world.vmi is None
    world.backoff_is_over()
    await world.settle(client)
    assert world.vmi is not None


async def test_an_unknown_strategy_of_another_release_changes_nothing(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await started(server, client, "Always")
    world.switch("WaitAsReceiver")
    world.report(STOPPED)
    await world.settle(client)
    assert not world.vmi["metadata"].get("deletionTimestamp")


@pytest.mark.parametrize("before", [("start", {"paused": True}), ("restart", {})])
async def test_a_stop_withdraws_the_start_that_waits(
    server: FakeApiServer, client: KubeClient, before: tuple[str, dict[str, bool]]
) -> None:
    verb, options = before
    world = VmWorld(server, "Halted") if verb == "start" else await started(server, client, "Always")
    if verb == "start":
        await world.settle(client)
        server.admit = _no_instances
    world.request(verb, **options)
    if verb == "start":
        await world.overtake(client, lambda: None)
        assert world.strategy == "Always"
    world.request("stop")
    for _ in range(3):
        await world.overtake(client, world.finish_deletion)
    assert world.strategy == "Halted"
    assert world.vmi is None
    assert "stateChangeRequests" not in world.status


def _no_instances(place: Place, _: Object) -> None:
    if place.plural == VIRTUAL_MACHINE_INSTANCES.plural:
        raise Refused(403, "Forbidden", "exceeded quota")


async def test_a_manual_start_whose_guest_failed_at_once_does_not_hold_the_next(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = VmWorld(server, "Manual")
    await world.settle(client)
    world.request("start")
    await world.overtake(client, lambda: None)
    first = world.vmi["metadata"]["uid"]
    world.report("Failed")
    await world.settle(client)
    assert world.vmi["metadata"]["uid"] == first
    world.request("start")
    await world.settle(client)
    world.finish_deletion()
    await world.settle(client)
    assert world.vmi["metadata"]["uid"] != first
    assert "stateChangeRequests" not in world.status


async def test_a_start_whose_guest_shut_down_before_it_was_recorded_starts_none_again(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await started(server, client, "RerunOnFailure")
    world.report(STOPPED)
    await world.settle(client)
    world.finish_deletion()
    await world.settle(client)
    world.request("start")
    await world.overtake(client, lambda: None)
    world.report("Running")
    world.report(STOPPED)
    await world.settle(client)
    world.finish_deletion()
    await world.settle(client)
    assert world.vmi is None
    assert "stateChangeRequests" not in world.status


async def test_one_that_was_halted_a_moment_ago_does_not_start(server: FakeApiServer, client: KubeClient) -> None:
    world = VmWorld(server, "Always")
    await world.overtake(client, lambda: None)
    await world.overtake(client, lambda: world.switch("Halted"))
    assert world.vmi is None


async def test_the_status_keeps_the_words_of_a_strategy_of_another_release(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await started(server, client, "Always")
    world.switch("WaitAsReceiver")
    await world.settle(client)
    assert world.status["runStrategy"] == "WaitAsReceiver"
    world.report(STOPPED)
    with pytest.raises(Conflict, match="WaitAsReceiver does not support manual start requests"):
        world.request("start")


@pytest.mark.parametrize("failed_by", ["refusal", "crash"])
async def test_one_that_is_halted_by_hand_after_its_paused_start_failed_stays_halted(
    server: FakeApiServer, client: KubeClient, failed_by: str
) -> None:
    world = VmWorld(server, "Halted")
    await world.settle(client)
    admits = server.admit
    if failed_by == "refusal":
        server.admit = _no_instances
    world.request("start", paused=True)
    for _ in range(3):
        await world.overtake(client, lambda: None)
        if failed_by == "crash" and world.vmi is not None:
            world.report(EARLY)
    assert world.strategy == "Always"
    assert world.status["stateChangeRequests"]
    world.switch("Halted")
    for _ in range(4):
        await world.overtake(client, world.finish_deletion)
    assert world.strategy == "Halted"
    assert world.vmi is None
    assert "stateChangeRequests" not in world.status
    server.admit = admits
    world.request("start", paused=True)
    await world.settle(client)
    assert world.vmi["spec"]["startStrategy"] == "Paused"
