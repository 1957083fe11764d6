"""No more migrations begin than may, whoever leads, and whatever comes while one takes its place."""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from virt_controller.caches import Caches
from virt_controller.migration.limits import Candidate
from virt_controller.migration.plan import Planner
from virt_controller.migration.queue import Queue
from virt_controller.migration.reconcile import MigrationReconciler
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import Unavailable
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCE_MIGRATIONS
from virt_core.migration.migration import VirtualMachineInstanceMigration
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place

from tests.support.patience import PATIENCE
from tests.unit.controller.migration_world import JOB, LAUNCHER, MigrationWorld
from tests.unit.controller.passes import Passes

ONE = {"parallelMigrationsPerCluster": 1}


def phase(server: FakeApiServer, name: str) -> str:
    job = server.store.get(Place.parse(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns", name)))
    return str(job["status"].get("phase", ""))


def _write(server: FakeApiServer, path: str, body: dict[str, Any]) -> None:
    server.patch(path, body)


async def test_a_new_leader_counts_what_the_old_one_began_last(server: FakeApiServer, client: KubeClient) -> None:
    world = MigrationWorld(server, ONE)
    world.add_vmi("other", "other-source")
    world.add_job("other", vmi="other", phase="Pending")
    path = VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns", "other")
    new = Passes(server, JOB, _reconciler, most=1)
    await new.overtake(client, partial(_write, server, path, {"status": {"phase": "Scheduling"}}))
    assert (phase(server, "other"), phase(server, "move")) == ("Scheduling", "Pending")


def _reconciler(client: KubeClient, caches: Caches) -> MigrationReconciler:
    return MigrationReconciler(client, caches, Planner(LAUNCHER), EventRecorder(client, "test", "test"))


async def test_a_target_pod_whose_node_has_its_share_of_arrivals_waits_for_them(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = MigrationWorld(server, {"parallelOutboundMigrationsPerNode": 1})
    state = {"migrationUid": "first-uid", "sourceNode": "node3", "targetNode": "node2"}
    world.add_vmi("other", "other-source", nodeName="node3", migrationState=state)
    world.add_job("first", vmi="other", phase="Running")
    await Passes(server, JOB, _reconciler, most=8).settle(client)
    world.run_target()
    await Passes(server, JOB, _reconciler, most=8).settle(client)
    waiting = world.condition("Waiting")
    assert (world.phase, world.state, waiting["reason"]) == ("Scheduling", None, "ParallelMigrations")
    assert waiting["message"] == "1 migrations arrive at node node2, parallelOutboundMigrationsPerNode is 1"
    server.patch(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns", "first"), {"status": {"phase": "Succeeded"}})
    await Passes(server, JOB, _reconciler, most=8).settle(client)
    assert world.state["targetNode"] == "node2" and world.phase == "PreparingTarget"


async def test_a_guest_that_has_arrived_still_counts_where_it_left(server: FakeApiServer, client: KubeClient) -> None:
    world = MigrationWorld(server, {"parallelOutboundMigrationsPerNode": 1})
    state = {"migrationUid": "first-uid", "sourceNode": "node1", "targetNode": "node2"}
    world.add_vmi("other", "other-source", nodeName="node2", migrationState=state)
    world.add_job("first", vmi="other", phase="Running")
    await Passes(server, JOB, _reconciler, most=8).settle(client)
    assert world.condition("Waiting")["message"] == (
        "1 migrations leave node node1, parallelOutboundMigrationsPerNode is 1"
    )


class _Slow(KubeClient):
    """The same connections; the first JSON patch reaches the API server when `go` is set."""

    def __init__(self, client: KubeClient) -> None:
        vars(self).update(vars(client))
        self.reached, self.go = asyncio.Event(), asyncio.Event()

    async def json_patch(self, *arguments: Any, **named: Any) -> Any:
        """As KubeClient."""
        if not self.reached.is_set():
            self.reached.set()
            await self.go.wait()
        return await super().json_patch(*arguments, **named)


async def test_what_comes_while_a_migration_takes_the_last_place_waits(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = MigrationWorld(server, ONE)
    world.add_vmi("other", "other-source")
    caches, slow = Caches(client, "kubevirt"), _Slow(client)
    reconciler = _reconciler(slow, caches)
    running = asyncio.create_task(caches.run(), name="caches")
    try:
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            await caches.wait()
            group.create_task(reconciler.reconcile(JOB))
            await slow.reached.wait()
            world.add_job("evacuation", vmi="other", priority="system-critical")
            while caches.migrations.get(("ns", "evacuation")) is None:  # noqa: ASYNC110 - a watch brings it
                await asyncio.sleep(0.01)
            second = group.create_task(reconciler.reconcile(("ns", "evacuation")))
            await asyncio.wait([second], timeout=0.3)
            slow.go.set()
    finally:
        running.cancel()
    assert (phase(server, "move"), phase(server, "evacuation")) == ("Scheduling", "Pending")


async def test_migrations_that_wait_are_counted_once_for_all_of_them(
    server: FakeApiServer, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the drain of a node with many guests would keep the controller from everything else."""
    counted: list[str] = []
    candidate = Queue._candidate

    def counting(queue: Queue, job: VirtualMachineInstanceMigration, now: datetime) -> Candidate:
        counted.append(job.metadata.name)
        return candidate(queue, job, now)

    monkeypatch.setattr(Queue, "_candidate", counting)
    monkeypatch.setattr("virt_controller.migration.queue._FRESH", PATIENCE)  # a busy machine takes seconds for it
    world = MigrationWorld(server, ONE)
    for number in range(20):
        world.add_vmi(f"vmi{number}", f"pod{number}")
        world.add_job(f"job{number}", vmi=f"vmi{number}")
    caches = Caches(client, "kubevirt")
    reconciler = _reconciler(client, caches)
    running = asyncio.create_task(caches.run(), name="caches")
    try:
        await caches.wait()
        for job in (*caches.migrations, *caches.migrations):
            await reconciler.reconcile(job.key)
    finally:
        running.cancel()
    assert [job["status"]["phase"] for job in world.jobs].count("Pending") == 20
    assert 21 <= len(counted) <= 12 * 21  # not 42 * 21


class _Lost(KubeClient):
    """The same connections; the answer to the first JSON patch does not arrive."""

    def __init__(self, client: KubeClient) -> None:
        vars(self).update(vars(client))
        self.lost = False

    async def json_patch(self, *arguments: Any, **named: Any) -> Any:
        """As KubeClient."""
        answer = await super().json_patch(*arguments, **named)
        if not self.lost:
            self.lost = True
            raise Unavailable(0, "the API server did not answer in time")
        return answer


async def test_a_place_counts_though_the_answer_to_its_write_was_lost(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = MigrationWorld(server, ONE)
    world.add_vmi("other", "other-source")
    caches = Caches(client, "kubevirt")
    reconciler = _reconciler(_Lost(client), caches)
    running = asyncio.create_task(caches.run(), name="caches")
    await caches.wait()
    running.cancel()
    with pytest.raises(Unavailable):
        await reconciler.reconcile(JOB)
    world.add_job("other", vmi="other", priority="system-critical")
    caches.migrations.wrote(world.jobs[-1])
    await reconciler.reconcile(("ns", "other"))
    assert (phase(server, "move"), phase(server, "other")) == ("Scheduling", "Pending")
