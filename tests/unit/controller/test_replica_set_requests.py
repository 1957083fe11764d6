"""What a replica set's controller asks of the API server, and what it does when that refuses or does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from virt_controller.caches import Caches
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import Conflict, Unavailable
from virt_core.kube.resource import EVENTS, VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS, VIRTUAL_MACHINE_INSTANCES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.history import Object
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused

from tests.support.patience import PATIENCE
from tests.unit.controller.replica_set_world import KEY, ReplicaSetWorld, reconciler

_VMIS = VIRTUAL_MACHINE_INSTANCES.path("ns")


@asynccontextmanager
async def stale(client: KubeClient) -> AsyncIterator[Caches]:
    """Caches that see nothing more."""
    caches = Caches(client, "kubevirt")
    running = asyncio.create_task(caches.run(), name="caches")
    async with asyncio.timeout(PATIENCE):
        await caches.wait()
    running.cancel()
    yield caches


async def test_two_leaders_create_no_more_than_one(server: FakeApiServer, client: KubeClient) -> None:
    world = ReplicaSetWorld(server, 5)
    async with stale(client) as first, stale(client) as second:
        done = await asyncio.gather(
            *(reconciler(client, caches).reconcile(KEY) for caches in (first, second)), return_exceptions=True
        )
    assert all(outcome is None or isinstance(outcome, Conflict) for outcome in done)
    await world.settle(client)
    assert len(world.vmis) == 5
    assert len(world.events) == 5


async def test_a_creation_whose_answer_is_lost_is_not_repeated(server: FakeApiServer, client: KubeClient) -> None:
    world = ReplicaSetWorld(server, 1)

    def store_and_fail(place: Place, body: Object) -> None:
        if place.plural == VIRTUAL_MACHINE_INSTANCES.plural:
            server.admit = lambda _place, _body: None
            server.put(_VMIS, body)
            raise Refused(504, "Timeout", "request did not complete")

    server.admit = store_and_fail
    async with stale(client) as caches:
        with pytest.raises(Unavailable):
            await reconciler(client, caches).reconcile(KEY)
        with pytest.raises(Conflict):
            await reconciler(client, caches).reconcile(KEY)
    assert len(world.vmis) == 1


async def test_a_set_that_was_scaled_down_meanwhile_creates_nothing(server: FakeApiServer, client: KubeClient) -> None:
    world = ReplicaSetWorld(server, 3)
    await world.overtake(client, lambda: world.scale(0))
    assert world.vmis == {}


async def test_a_set_that_was_scaled_up_meanwhile_deletes_nothing(server: FakeApiServer, client: KubeClient) -> None:
    world = ReplicaSetWorld(server, 3)
    await world.settle(client)
    world.scale(1)
    before = dict(world.vmis)
    await world.overtake(client, lambda: world.scale(3))
    assert world.vmis == before


async def test_a_set_that_was_deleted_meanwhile_adopts_nothing(server: FakeApiServer, client: KubeClient) -> None:
    world = ReplicaSetWorld(server, 1)
    world.add_orphan("orphan")
    await world.overtake(client, world.delete)
    assert not world.vmis["orphan"]["metadata"].get("ownerReferences")


async def test_a_quota_is_met_by_few_requests_and_reported(server: FakeApiServer, client: KubeClient) -> None:
    world = ReplicaSetWorld(server, 100)

    def admit(place: Place, _: Object) -> None:
        if place.plural == VIRTUAL_MACHINE_INSTANCES.plural and len(world.vmis) >= 4:
            raise Refused(403, "Forbidden", "exceeded quota: no more than 4")

    server.admit = admit
    await world.overtake(client, lambda: None)
    assert server.requests.count(("POST", _VMIS)) == 7  # 1, 2 and 4
    assert (world.status["replicas"], len(world.vmis)) == (4, 4)
    condition = world.condition("ReplicaFailure")
    assert (condition["status"], condition["reason"]) == ("True", "FailedCreate")
    assert "exceeded quota: no more than 4" in condition["message"]
    server.admit = lambda _place, _body: None
    await world.settle(client)
    assert (world.status["replicas"], world.condition("ReplicaFailure")) == (100, {})
    assert world.events.count("FailedCreate") == 1


async def test_a_deletion_that_is_refused_is_reported(server: FakeApiServer, client: KubeClient) -> None:
    world = ReplicaSetWorld(server, 1)
    await world.settle(client)

    def refuse(method: str, place: Place) -> None:
        if method == "DELETE" and place.plural == VIRTUAL_MACHINE_INSTANCES.plural:
            raise Refused(403, "Forbidden", "a policy keeps it")

    server.fault = refuse
    world.scale(0)
    await world.overtake(client, lambda: None)
    condition = world.condition("ReplicaFailure")
    assert (condition["reason"], "a policy keeps it" in condition["message"]) == ("FailedDelete", True)
    server.fault = lambda _method, _place: None
    await world.settle(client)
    assert (world.vmis, world.condition("ReplicaFailure")) == ({}, {})


async def test_a_replicas_whole_life_costs_a_creation_a_deletion_and_two_events(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = ReplicaSetWorld(server, 2)
    await world.settle(client)
    world.scale(0)
    await world.settle(client)
    requests = [(method, path) for method, path in server.requests if method in ("POST", "DELETE", "PATCH", "GET")]
    events = [request for request in requests if request == ("POST", EVENTS.path("ns"))]
    reads = [path for method, path in requests if method == "GET"]
    assert sorted(world.events) == ["SuccessfulCreate"] * 2 + ["SuccessfulDelete"] * 2
    assert (len(events), len(requests)) == (4, 12)  # with 2 creations, 2 deletions, 2 reads and 2 patches of the status
    assert reads == [VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS.path(*KEY)] * 2


async def test_a_set_that_cannot_be_read_is_left_alone(server: FakeApiServer, client: KubeClient) -> None:
    world = ReplicaSetWorld(server, 1)
    server.patch(VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS.path(*KEY), {"spec": {"selector": {"matchFields": []}}})
    world.add_orphan("orphan")
    await world.settle(client)
    assert list(world.vmis) == ["orphan"]
