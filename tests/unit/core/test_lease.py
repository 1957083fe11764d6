"""One leader among replicas, through release, death and loss."""

from __future__ import annotations

import asyncio

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import Unavailable
from virt_core.kube.lease import LeadershipLost, Lease, Timing
from virt_core.kube.resource import CONFIG_MAPS, LEASES
from virt_core.testing.api_server import FakeApiServer

from tests.support.patience import PATIENCE


class Replica:
    """A candidate whose work lasts until it is cancelled."""

    def __init__(self, client: KubeClient, group: asyncio.TaskGroup, name: str, **seconds: float) -> None:
        self.lease = Lease(client, "ns", "leader", name, Timing(**seconds))
        self.working, self.cancelled = asyncio.Event(), asyncio.Event()
        self.failure: BaseExceptionGroup[BaseException] | None = None
        self.task = group.create_task(self._run(), name=name)

    async def _run(self) -> None:
        try:
            await self.lease.lead(self._work)
        except ExceptionGroup as failure:
            self.failure = failure

    async def _work(self) -> None:
        self.working.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


async def holder(client: KubeClient) -> str:
    lease = await client.get(LEASES, "ns", "leader")
    found: str = lease["spec"]["holderIdentity"]
    return found


async def test_the_first_leads_and_the_second_takes_over_at_once_when_it_is_released(
    server: FakeApiServer, client: KubeClient
) -> None:
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        first = Replica(client, group, "first", duration=2 * PATIENCE)
        await first.working.wait()
        assert await holder(client) == "first"
        second = Replica(client, group, "second")
        await server.received("LIST", 2)
        assert not second.lease.leading
        await first.stop()
        assert first.cancelled.is_set() and not first.lease.leading
        await second.working.wait()
        assert await holder(client) == "second"
        await second.stop()
    assert await holder(client) == ""


async def test_a_killed_leader_s_lease_is_taken_when_it_expires_and_not_before(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.put(LEASES.path("ns"), {"metadata": {"name": "leader"}, "spec": {"holderIdentity": "killed"}})
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        standby = Replica(client, group, "standby", duration=0.2)
        await standby.working.wait()
        assert asyncio.get_running_loop().time() - began >= 0.2
        assert await holder(client) == "standby"
        await standby.stop()


async def test_a_lease_that_is_renewed_is_not_taken(server: FakeApiServer, client: KubeClient) -> None:
    # This process may wait for a processor for seconds.
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        leader = Replica(client, group, "leader", duration=6.0, renewal=0.05)
        await leader.working.wait()
        standby = Replica(client, group, "standby", duration=6.0, renewal=0.05)
        await server.received("PATCH", 130)  # renewals for longer than that
        assert leader.lease.leading and not standby.lease.leading
        await standby.stop()
        await leader.stop()


async def test_a_replica_that_comes_back_by_the_same_name_leads_at_once(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.put(LEASES.path("ns"), {"metadata": {"name": "leader"}, "spec": {"holderIdentity": "same"}})
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        replica = Replica(client, group, "same", duration=2 * PATIENCE)
        await replica.working.wait()
        await replica.stop()


async def test_one_of_two_leads_when_both_begin_at_once(client: KubeClient) -> None:
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        replicas = [Replica(client, group, name) for name in ("one", "two")]
        working = [asyncio.create_task(replica.working.wait()) for replica in replicas]
        await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
        leader = await holder(client)
        assert [replica.lease.leading for replica in replicas] == [leader == "one", leader == "two"]
        for task in working:
            task.cancel()
        for replica in sorted(replicas, key=lambda replica: replica.lease.leading):  # the standby first
            await replica.stop()


async def test_work_is_cancelled_when_another_holds_the_lease(
    client: KubeClient,
) -> None:
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        replica = Replica(client, group, "robbed", renewal=0.02)
        await replica.working.wait()
        await client.merge_patch(LEASES, "ns", "leader", {"spec": {"holderIdentity": "robber"}})
        await replica.cancelled.wait()
        await replica.task
    assert replica.failure is not None and replica.failure.subgroup(LeadershipLost)
    assert await holder(client) == "robber"


async def test_work_is_cancelled_when_the_api_server_is_away_too_long(
    server: FakeApiServer, client: KubeClient
) -> None:
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        replica = Replica(client, group, "lonely", renewal=0.02, retry=0.02, surrender=0.1)
        await replica.working.wait()
        await server.down()
        await replica.cancelled.wait()
        await replica.task
    assert replica.failure is not None and replica.failure.subgroup(LeadershipLost)
    assert not replica.lease.leading


async def test_a_leader_that_another_may_have_followed_reads_but_writes_nothing(client: KubeClient) -> None:
    loop, late = asyncio.get_running_loop(), asyncio.Event()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        replica = Replica(client, group, "frozen", renewal=PATIENCE, surrender=4.0)
        leaders = client.only_while(lambda: replica.lease.certain)
        with pytest.raises(Unavailable):
            await leaders.create(CONFIG_MAPS, "ns", {"metadata": {"name": "early"}})
        await replica.working.wait()
        await leaders.create(CONFIG_MAPS, "ns", {"metadata": {"name": "a"}})
        loop.call_later(4.0, late.set)
        await late.wait()
        with pytest.raises(Unavailable):
            await leaders.delete(CONFIG_MAPS, "ns", "a")
        assert (await leaders.get(CONFIG_MAPS, "ns", "a"))["metadata"]["name"] == "a"
        await replica.stop()
