"""A leader keeps nothing of VirtualMachines that have come, migrated and gone: entries of all that its parts hold.

Everything of virt-controller works as in its process; scheduler, kubelet and handler are played. The soak on a cluster
(tests/e2e/test_soak.py) sees a leak of memory only when it is large; here a single entry is seen and named.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from virt_controller.caches import Caches
from virt_controller.evacuation.reconcile import EvacuationReconciler
from virt_controller.migration.plan import Planner as MigrationPlanner
from virt_controller.migration.reconcile import MigrationReconciler
from virt_controller.node.reconcile import Nodes
from virt_controller.pod.containers import LauncherSettings
from virt_controller.replica_set.reconcile import ReplicaSetReconciler
from virt_controller.vm.reconcile import VmReconciler
from virt_controller.vmi.plan import Planner
from virt_controller.vmi.reconcile import VmiReconciler
from virt_controller.workload_update.reconcile import WorkloadUpdater
from virt_core.conventions.migration import JOB_UID
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import (
    NAMESPACES,
    NODES,
    PODS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    Resource,
)
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place

from tests.support.held import SHARED, entries
from tests.support.patience import PATIENCE

LAUNCHER = LauncherSettings("registry.test/virt-launcher:1", "IfNotPresent")
MODULES = ("virt_controller", *SHARED)
READY = {"type": "Ready", "status": "True"}
RUNNING = {
    "phase": "Running",
    "podIP": "10.0.0.1",
    "conditions": [READY],
    "containerStatuses": [{"name": "compute", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}],
}


class Leader:
    """All workers of a leading replica, and who acts around them."""

    def __init__(self, server: FakeApiServer, client: KubeClient) -> None:
        self._server, self._client = server, client
        self.caches = Caches(client, "kubevirt")
        events = EventRecorder(client, "t", "t")
        nodes = Nodes(client, self.caches.nodes)
        self.parts: Mapping[str, Any] = {
            "vms": VmReconciler(client, self.caches, events),
            "vmis": VmiReconciler(client, self.caches, nodes, Planner(LAUNCHER), events),
            "nodes": nodes,
            "migrations": MigrationReconciler(client, self.caches, MigrationPlanner(LAUNCHER), events),
            "replica sets": ReplicaSetReconciler(client, self.caches, events),
            "evacuations": EvacuationReconciler(client, self.caches, events),
            "outdated launchers": WorkloadUpdater(client, self.caches, events, LAUNCHER),
        }
        self._changed = asyncio.Event()
        for cache in (self.caches.vms, self.caches.vmis, self.caches.pods, self.caches.migrations):
            cache.subscribe(lambda _: self._changed.set())

    def objects(self, resource: Resource) -> dict[str, Any]:
        """What is stored, by name."""
        found = self._server.store.select(Place.parse(resource.path("ns")), lambda _: True)
        return {body["metadata"]["name"]: body for body in found}

    async def until(self, holds: Callable[[], bool]) -> None:
        """Play scheduler and kubelet until it is so."""
        while True:
            self._changed.clear()
            for name, pod in self.objects(PODS).items():
                await self._play(name, pod)
            if holds():
                return
            await self._changed.wait()

    async def _play(self, name: str, pod: Any) -> None:
        if "deletionTimestamp" in pod["metadata"]:
            await self._client.merge_patch(PODS, "ns", name, {"status": {"phase": "Succeeded"}}, "status")
            await self._client.delete(PODS, "ns", name, grace=0)
        elif not pod["spec"].get("nodeName"):
            node = "node2" if JOB_UID in pod["metadata"]["labels"] else "node1"
            await self._client.merge_patch(PODS, "ns", name, {"spec": {"nodeName": node}})
            await self._client.merge_patch(PODS, "ns", name, {"status": RUNNING}, "status")

    def kept(self) -> Counter[str]:
        """How many entries each mapping, set and list of the replica's parts has, by class and attribute."""
        return entries((self.caches, *self.parts.values()), MODULES)


async def live(client: KubeClient, leader: Leader, name: str) -> None:
    """A VirtualMachine, from its creation over a migration that is canceled to its end."""
    template = {"spec": {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}, "terminationGracePeriodSeconds": 0}}
    await client.create(VIRTUAL_MACHINES, "ns", _named(name, spec={"runStrategy": "Always", "template": template}))
    await leader.until(lambda: any(pod["spec"].get("nodeName") for pod in leader.objects(PODS).values()))
    await leader.until(lambda: bool(leader.objects(VIRTUAL_MACHINE_INSTANCES)[name]["status"].get("activePods")))
    conditions = [READY, {"type": "LiveMigratable", "status": "True"}]
    running = {"phase": "Running", "nodeName": "node1", "conditions": conditions}
    await client.merge_patch(VIRTUAL_MACHINE_INSTANCES, "ns", name, {"status": running})
    await leader.until(lambda: leader.objects(VIRTUAL_MACHINES)[name]["status"].get("ready") is True)
    move = _named(f"move-{name}", spec={"vmiName": name}, finalizers=["kubevirt.io/migrationJobFinalize"])
    await client.create(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, "ns", move)
    await leader.until(lambda: len(leader.objects(PODS)) == 2)
    await client.delete(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, "ns", f"move-{name}")
    await leader.until(lambda: len(leader.objects(PODS)) == 1)
    await leader.until(lambda: not leader.objects(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS))
    await client.delete(VIRTUAL_MACHINES, "ns", name)
    await leader.until(lambda: not leader.objects(PODS))
    await leader.until(lambda: not (leader.objects(VIRTUAL_MACHINE_INSTANCES) or leader.objects(VIRTUAL_MACHINES)))
    await leader.until(lambda: not any((*leader.caches.vms, *leader.caches.vmis, *leader.caches.migrations)))


def _named(name: str, *, spec: Any, **meta: Any) -> Any:
    return {"metadata": {"name": name, **meta}, "spec": spec}


@asynccontextmanager
async def leading(server: FakeApiServer, client: KubeClient) -> AsyncIterator[Leader]:
    server.put(NAMESPACES.path(), {"metadata": {"name": "ns"}})
    for node in ("node1", "node2"):
        meta = {"name": node, "labels": {"kubevirt.io/schedulable": "true"}}
        server.put(NODES.path(), {"metadata": meta, "status": {"conditions": [READY]}})
    leader = Leader(server, client)
    async with asyncio.TaskGroup() as group:
        works = [leader.caches.run(), *(part.work() for part in leader.parts.values())]
        tasks = [group.create_task(work) for work in works]
        await leader.caches.wait()
        yield leader
        for task in tasks:
            task.cancel()


async def test_a_leader_keeps_nothing_of_machines_that_have_gone(server: FakeApiServer, client: KubeClient) -> None:
    async with asyncio.timeout(PATIENCE), leading(server, client) as leader:
        await live(client, leader, "vm0")
        before = leader.kept()
        for number in range(1, 6):
            await live(client, leader, f"vm{number}")
        assert leader.kept() - before == Counter()
