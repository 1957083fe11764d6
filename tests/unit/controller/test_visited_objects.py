"""An event of a node, a namespace or the suite looks at the objects that it concerns, not at all of the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from virt_controller.caches import Caches
from virt_controller.evacuation.reconcile import EvacuationReconciler
from virt_controller.migration.plan import Planner as MigrationPlanner
from virt_controller.migration.reconcile import MigrationReconciler
from virt_controller.node.reconcile import Nodes
from virt_controller.pod.containers import LauncherSettings
from virt_controller.replica_set.reconcile import ReplicaSetReconciler
from virt_controller.vmi.plan import Planner
from virt_controller.vmi.reconcile import VmiReconciler
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.reflector import Key, Reflector
from virt_core.kube.resource import (
    KUBEVIRTS,
    NAMESPACES,
    NODES,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS,
    VIRTUAL_MACHINE_INSTANCES,
    Resource,
)
from virt_core.testing.api_server import FakeApiServer

from tests.support.patience import PATIENCE

NUMBER = 200  # of nodes, namespaces, machines, replica sets and migrations
LAUNCHER = LauncherSettings("registry.test/virt-launcher:1", "IfNotPresent")


class Visits:
    """How many objects each event has had looked at, and which machines and migrations were enqueued."""

    def __init__(self, caches: Caches, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._changes: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        iterate, get = Reflector.__iter__, Reflector.get

        def counted(cache: Reflector[Any]) -> Iterator[Any]:
            for found in iterate(cache):
                self.count += 1
                yield found

        def looked_up(cache: Reflector[Any], key: Key) -> Any:
            self.count += 1
            return get(cache, key)

        monkeypatch.setattr(Reflector, "__iter__", counted)
        monkeypatch.setattr(Reflector, "get", looked_up)
        for kind, cache in (("node", caches.nodes), ("namespace", caches.namespaces), ("vmi", caches.vmis)):
            cache.subscribe(self._noted(kind))
        caches.migrations.subscribe(self._noted("migration"))
        caches.configuration.subscribe(lambda: self._noted("kubevirt")(("", "")))

    def _noted(self, kind: str) -> Callable[[Key], None]:
        return lambda _: self._changes.put_nowait((kind, self.count))

    async def of(self, kind: str, change: Callable[[], Any]) -> int:
        """The objects that are looked at because of a change of one object of that kind."""
        while not self._changes.empty():
            self._changes.get_nowait()
        before = self.count
        change()
        async with asyncio.timeout(PATIENCE):
            while True:
                seen, after = await self._changes.get()
                if seen == kind:
                    return after - before


@asynccontextmanager
async def big_cluster(
    server: FakeApiServer, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Visits]:
    for number in range(NUMBER):
        fill(server, number)
    caches = Caches(client, "kubevirt")
    nodes, events = Nodes(client, caches.nodes), EventRecorder(client, "virt-controller", "test")
    VmiReconciler(client, caches, nodes, Planner(LAUNCHER), events)
    EvacuationReconciler(client, caches, events)
    MigrationReconciler(client, caches, MigrationPlanner(LAUNCHER), events)
    ReplicaSetReconciler(client, caches, events)
    visits = Visits(caches, monkeypatch)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(caches.run(), name="caches")
        async with asyncio.timeout(PATIENCE):
            await caches.wait()
        yield visits
        running.cancel()


def fill(server: FakeApiServer, number: int) -> None:
    """A node, a namespace, a machine that runs on the node, a replica set and a migration that is over."""
    namespace, node = f"ns{number}", f"node{number}"
    server.put(NODES.path(), {"metadata": {"name": node}})
    server.put(NAMESPACES.path(), {"metadata": {"name": namespace}})
    running = {"phase": "Running", "nodeName": node, "activePods": {f"uid-{number}": node}}
    server.put(VIRTUAL_MACHINE_INSTANCES.path(namespace), {"metadata": {"name": "a"}, "spec": {}, "status": running})
    spec = {"selector": {"matchLabels": {"app": "x"}}, "template": {}}
    server.put(VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS.path(namespace), {"metadata": {"name": "set"}, "spec": spec})
    over = {"metadata": {"name": "job"}, "spec": {"vmiName": "a"}, "status": {"phase": "Succeeded"}}
    server.put(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path(namespace), over)


CHANGES: dict[str, tuple[str, Resource, str | None, str, dict[str, Any]]] = {
    "heartbeat": ("node", NODES, None, "node7", {"metadata": {"annotations": {"kubevirt.io/heartbeat": "now"}}}),
    "trouble": ("node", NODES, None, "node7", {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}),
    "namespace": ("namespace", NAMESPACES, None, "ns7", {"metadata": {"annotations": {"a": "b"}}}),
    "status of the suite": ("kubevirt", KUBEVIRTS, "kubevirt", "kubevirt", {"status": {"phase": "Deployed"}}),
    "an orphan": ("vmi", VIRTUAL_MACHINE_INSTANCES, "ns7", "a", {"metadata": {"labels": {"app": "x"}}}),
    "the end of a migration": (
        "migration",
        VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
        "ns7",
        "job",
        {"metadata": {"annotations": {"a": "b"}}},
    ),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_a_change_looks_at_what_it_concerns(
    server: FakeApiServer, client: KubeClient, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    kind, resource, namespace, name, patch = CHANGES[what]
    async with big_cluster(server, client, monkeypatch) as visits:
        assert await visits.of(kind, lambda: server.patch(resource.path(namespace, name), patch)) < NUMBER / 4
