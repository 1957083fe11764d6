"""Guests leave a node that is drained, once each, and stay where they are when the eviction is withdrawn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from virt_controller.caches import Caches
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import Conflict, Unavailable
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCE_MIGRATIONS
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.history import Object
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused

from tests.support.patience import PATIENCE
from tests.unit.controller.evacuation_world import KEY, EvacuationWorld, reconciler

DRAIN = {"key": "kubevirt.io/drain", "effect": "NoSchedule"}
REQUESTED, BLOCKED = "EvictionRequested", "EvacuationBlocked"


@asynccontextmanager
async def stale(client: KubeClient) -> AsyncIterator[Caches]:
    """Caches that see nothing more."""
    caches = Caches(client, "kubevirt")
    made = reconciler(client, caches)
    caches.__dict__["reconciler"] = made
    running = asyncio.create_task(caches.run(), name="caches")
    async with asyncio.timeout(PATIENCE):
        await caches.wait()
    running.cancel()
    yield caches


async def one_pass(caches: Caches) -> object:
    """Of the reconciler that these caches feed."""
    return await caches.__dict__["reconciler"].reconcile(KEY)


async def test_a_marked_guest_is_migrated_once_and_reported(server: FakeApiServer, client: KubeClient) -> None:
    world = EvacuationWorld(server)
    await world.settle(client)
    assert world.migrations == [] and server.count("PATCH") == 0
    world.mark()
    await world.settle(client)
    (migration,) = world.migrations
    assert migration["metadata"]["name"].startswith("kubevirt-evacuation-")
    assert migration["metadata"]["annotations"] == {"kubevirt.io/evacuationMigration": "node1"}
    assert migration["spec"] == {"vmiName": "web", "priority": "system-critical"}
    condition = world.condition(REQUESTED)
    assert (condition["status"], condition["reason"], condition["message"]) == (
        "True",
        REQUESTED,
        "VMI is marked for eviction",
    )
    assert world.pod_annotation() == "true" and world.condition("LiveMigratable")["status"] == "True"
    assert world.events == [("SuccessfulCreate", f"Created Migration {migration['metadata']['name']}")]
    assert server.count("PATCH") == 2


async def test_what_is_reported_goes_when_the_guest_has_moved(server: FakeApiServer, client: KubeClient) -> None:
    world = EvacuationWorld(server)
    world.mark()
    await world.settle(client)
    world.arrive()
    await world.settle(client)
    assert world.condition(REQUESTED) == {} and len(world.migrations) == 1
    assert world.pod_annotation("pod-2") is None


async def test_a_failed_evacuation_is_repeated_and_says_why(server: FakeApiServer, client: KubeClient) -> None:
    world = EvacuationWorld(server)
    world.mark()
    await world.settle(client)
    for attempts in (2, 3):
        world.end_migration()
        await world.settle(client)
        assert len(world.migrations) == attempts
        blocked = world.condition(BLOCKED)
        assert blocked["reason"] == "MigrationFailed" and blocked["message"].endswith("failed: the network is cut")
        assert world.pod_annotation() == "true"
    world.arrive()
    await world.settle(client)
    assert world.condition(BLOCKED) == {} and len(world.migrations) == 3


async def test_an_event_says_who_has_to_move_a_guest_that_is_not_kubevirts_to_move(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = EvacuationWorld(server, "External")
    world.mark()
    await world.settle(client)
    await world.settle(client)
    ((reason, note),) = world.events
    assert reason == REQUESTED and world.migrations == []
    assert note == (
        "the guest is to leave node node1; evictionStrategy is External: KubeVirt does not migrate the guest, "
        "an external controller has to move or stop it"
    )


@pytest.mark.parametrize(
    ("strategy", "migratable", "moves"),
    [
        ("LiveMigrate", "True", True),
        ("LiveMigrateIfPossible", "True", True),
        ("LiveMigrate", "False", False),
        ("External", "True", False),
        ("None", "True", False),
    ],
)
@pytest.mark.parametrize("how", ["mark", "taint"])
async def test_only_a_guest_that_wants_and_can_is_migrated(
    server: FakeApiServer, client: KubeClient, how: str, strategy: str, *, migratable: str, moves: bool
) -> None:
    world = EvacuationWorld(server, strategy, migratable)
    if how == "mark":
        world.mark()
    else:
        world.taint({"key": "kubevirt.io/drain", "effect": "NoExecute"})
        await world.settle(client)
        assert world.migrations == []
        world.taint(DRAIN)
    await world.settle(client)
    assert len(world.migrations) == moves
    assert bool(world.condition(REQUESTED)) == (how == "mark")
    stuck = strategy == "LiveMigrate" and not moves
    assert world.condition(BLOCKED).get("reason") == ("NotLiveMigratable" if stuck else None)
    if stuck:
        text = "VirtualMachineInstance is not migrateable: the guest cannot leave node node1: R: M"
        assert world.events == [("FailedCreate", text)]


async def test_a_custom_drain_taint_counts(server: FakeApiServer, client: KubeClient) -> None:
    world = EvacuationWorld(server)
    path = "/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts/kubevirt"
    server.patch(path, {"spec": {"configuration": {"migrations": {"nodeDrainTaintKey": "mine"}}}})
    world.taint(DRAIN)
    await world.settle(client)
    assert world.migrations == []
    world.taint({"key": "mine", "effect": "NoSchedule"})
    await world.settle(client)
    assert len(world.migrations) == 1


async def test_the_descheduler_waits_behind_a_drain(server: FakeApiServer, client: KubeClient) -> None:
    world = EvacuationWorld(server)
    world.mark(**{"kubevirt.io/eviction-source": "descheduler"})
    await world.settle(client)
    assert world.migrations[0]["spec"]["priority"] == "system-maintenance"


async def test_uncordon_takes_the_mark_back_once_nothing_is_under_way(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = EvacuationWorld(server)
    world.cordon()
    world.mark(**{"kubevirt.io/eviction-source": "descheduler", "mine": "x"})
    await world.settle(client)
    assert len(world.migrations) == 1
    world.cordon(False)
    await world.settle(client)
    assert world.marked == "node1"
    world.end_migration()
    await world.settle(client)
    assert world.marked == "" and len(world.migrations) == 1
    assert world.condition(REQUESTED) == {} and world.condition(BLOCKED) == {} and world.pod_annotation() is None
    assert world.vmi["metadata"]["annotations"] == {"mine": "x"}
    assert world.condition("LiveMigratable")["status"] == "True"


async def test_a_guest_that_cannot_leave_a_cordoned_node_says_so_though_nobody_marked_it(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = EvacuationWorld(server, migratable="False")
    world.cordon()
    await world.settle(client)
    assert world.condition(BLOCKED)["reason"] == "NotLiveMigratable" and "FailedCreate" in dict(world.events)
    assert world.marked == "" and world.migrations == []
    world.cordon(False)
    await world.settle(client)
    assert world.condition(BLOCKED) == {}


async def test_uncordon_takes_the_mark_of_a_guest_that_cannot_move_back(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = EvacuationWorld(server, migratable="False")
    world.cordon()
    world.mark()
    await world.settle(client)
    assert world.condition(BLOCKED) and world.vmi["metadata"]["annotations"]
    world.cordon(False)
    await world.settle(client)
    assert world.marked == "" and world.condition(BLOCKED) == {} and not world.vmi["metadata"]["annotations"]


async def test_a_mark_on_a_node_that_was_never_cordoned_stays(server: FakeApiServer, client: KubeClient) -> None:
    world = EvacuationWorld(server)
    world.mark()
    await world.settle(client)
    world.end_migration()
    await world.settle(client)
    assert world.marked == "node1" and len(world.migrations) == 2
    world.cordon()
    await world.settle(client)
    world.cordon(False)
    world.end_migration()
    await world.settle(client)
    assert world.marked == "" and len(world.migrations) == 2


async def test_a_cancelled_evacuation_leaves_nothing(server: FakeApiServer, client: KubeClient) -> None:
    world = EvacuationWorld(server)
    world.cordon()
    world.mark()
    await world.settle(client)
    world.patch(status={"evacuationNodeName": None})
    world.end_migration()
    await world.settle(client)
    assert world.condition(REQUESTED) == {} and world.pod_annotation() is None and len(world.migrations) == 1
    assert world.vmi["metadata"]["annotations"] == {}


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Scheduled"},
        {"phase": "Failed"},
        {"phase": "OfAnotherRelease"},
        {"migrationState": {"migrationUid": "m"}},
    ],
)
async def test_a_guest_that_does_not_run_or_migrates_is_left_alone(
    server: FakeApiServer, client: KubeClient, status: Any
) -> None:
    world = EvacuationWorld(server)
    world.mark()
    world.patch(status=status)
    await world.settle(client)
    assert world.migrations == []


async def test_a_guest_with_two_pods_waits_until_one_has_ended(server: FakeApiServer, client: KubeClient) -> None:
    world = EvacuationWorld(server)
    world.add_pod("pod-0", "node2")
    world.mark()
    await world.settle(client)
    assert world.migrations == []
    world.end_pod("pod-0")
    await world.settle(client)
    assert len(world.migrations) == 1


async def test_two_leaders_create_one_migration(server: FakeApiServer, client: KubeClient) -> None:
    world = EvacuationWorld(server)
    world.mark()
    async with stale(client) as first, stale(client) as second:
        done = await asyncio.gather(one_pass(first), one_pass(second), return_exceptions=True)
        assert any(isinstance(outcome, Conflict) for outcome in done)
        for caches in (first, second):
            with pytest.raises(Conflict):
                await one_pass(caches)
                raise Conflict(409, "this one knows what it has created")
    await world.settle(client)
    assert len(world.migrations) == 1


async def test_a_creation_whose_answer_is_lost_is_not_repeated(server: FakeApiServer, client: KubeClient) -> None:
    world = EvacuationWorld(server)
    world.mark()

    def store_and_fail(place: Place, body: Object) -> None:
        if place.plural == VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.plural:
            server.admit = lambda _place, _body: None
            server.put(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns"), body)
            raise Refused(504, "Timeout", "request did not complete")

    server.admit = store_and_fail
    async with stale(client) as caches:
        with pytest.raises(Unavailable):
            await one_pass(caches)
        with pytest.raises(Conflict):
            await one_pass(caches)
    await world.settle(client)
    assert len(world.migrations) == 1


@pytest.mark.parametrize("change", [{"evacuationNodeName": None}, {"nodeName": "node2", "evacuationNodeName": None}])
async def test_a_cache_that_is_behind_evacuates_nobody_who_stays(
    server: FakeApiServer, client: KubeClient, change: Any
) -> None:
    world = EvacuationWorld(server)
    world.mark()
    async with stale(client) as caches:
        world.patch(status=change)
        with pytest.raises(Conflict):
            await one_pass(caches)
    assert world.migrations == []


async def test_a_refused_migration_is_reported_and_tried_again_later(server: FakeApiServer, client: KubeClient) -> None:
    world = EvacuationWorld(server)
    world.mark()

    def refuse(place: Place, _: Object) -> None:
        if place.plural == VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.plural:
            raise Refused(403, "Forbidden", "exceeded quota: migrations")

    server.admit = refuse
    async with stale(client) as caches:
        again = await one_pass(caches)
    assert isinstance(again, float) and 0 < again <= 2
    blocked = world.condition(BLOCKED)
    assert blocked["reason"] == "FailedCreate" and "exceeded quota: migrations" in blocked["message"]
    (event,) = world.events
    assert event[0] == "FailedCreate" and event[1].startswith("Error creating a Migration: ")
    server.admit = lambda _place, _body: None
    await world.settle(client)
    assert len(world.migrations) == 1 and world.condition(BLOCKED) == {}


async def test_a_migration_that_the_cache_does_not_know_is_no_refusal(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = EvacuationWorld(server)
    world.mark()

    def refuse(place: Place, _: Object) -> None:
        if place.plural == VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.plural:
            raise Refused(400, "BadRequest", "denied the request: in-flight migration detected. Active migration job")

    server.admit = refuse
    async with stale(client) as caches:
        with pytest.raises(Conflict):
            await one_pass(caches)
    assert world.condition(BLOCKED) == {} and world.events == []


async def test_a_guest_that_changes_meanwhile_is_reported_once(server: FakeApiServer, client: KubeClient) -> None:
    world = EvacuationWorld(server, migratable="False")
    world.mark()
    agent = [*world.vmi["status"]["conditions"], {"type": "AgentConnected", "status": "True"}]
    await world.overtake(client, lambda: world.patch(status={"conditions": agent}))
    await world.settle(client)
    assert [reason for reason, _ in world.events] == ["FailedCreate"]
    assert world.condition(BLOCKED)["reason"] == "NotLiveMigratable" and world.condition("AgentConnected")
