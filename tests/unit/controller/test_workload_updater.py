"""Passes of the workload updater against the fake API server: what it writes, and what a refusal changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from virt_controller.caches import Caches
from virt_controller.pod.containers import LauncherSettings
from virt_controller.workload_update.reconcile import WorkloadUpdater
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import (
    EVENTS,
    KUBEVIRTS,
    NAMESPACES,
    PODS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
)
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused

from tests.support.patience import PATIENCE

LABEL = "kubevirt.io/outdatedLauncherImage"
LAUNCHER = LauncherSettings("new", "IfNotPresent")
KUBEVIRT = KUBEVIRTS.path("kubevirt", "kubevirt")
_MIGRATIONS = VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns")


def strategy(server: FakeApiServer, *methods: str, **more: Any) -> None:
    """A user's, on a suite that is as asked."""
    status = {"phase": "Deployed", "observedDeploymentID": "d", "targetDeploymentID": "d"}
    spec = {"workloadUpdateStrategy": {"workloadUpdateMethods": list(methods), **more}}
    server.patch(KUBEVIRT, {"spec": spec, "status": status})


def put_guest(
    server: FakeApiServer,
    name: str,
    image: str = "old",
    migratable: str = "True",
    annotations: dict[str, str] | None = None,
) -> None:
    condition = {"type": "LiveMigratable", "status": migratable}
    status = {
        "phase": "Running",
        "nodeName": "node1",
        "activePods": {f"uid-{name}": "node1"},
        "conditions": [condition],
    }
    metadata: dict[str, Any] = {"name": name, "uid": f"vmi-{name}", "annotations": annotations or {}}
    body = {"metadata": metadata, "spec": {}, "status": status}
    server.put(VIRTUAL_MACHINE_INSTANCES.path("ns"), body)
    owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": name, "uid": f"vmi-{name}"}
    metadata = {
        "name": f"pod-{name}",
        "uid": f"uid-{name}",
        "labels": {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": f"vmi-{name}"},
        "annotations": {"kubevirt.io/domain": name, "kubevirt.io/launcher-image": image},
        "ownerReferences": [{**owner, "controller": True}],
    }
    server.put(PODS.path("ns"), {"metadata": metadata, "spec": {"nodeName": "node1"}, "status": {"phase": "Running"}})


@asynccontextmanager
async def updater(client: KubeClient, *, idle: timedelta = timedelta(hours=1)) -> AsyncIterator[WorkloadUpdater]:
    """With caches that see nothing more; its last batch was `idle` ago."""
    caches = Caches(client, "kubevirt")
    made = WorkloadUpdater(client, caches, EventRecorder(client, "test", "test"), LAUNCHER)
    made._last_batch = made._clock() - idle.total_seconds()
    running = asyncio.create_task(caches.run(), name="caches")
    async with asyncio.timeout(PATIENCE):
        await caches.wait()
    running.cancel()
    yield made


def stored(server: FakeApiServer, path: str) -> Any:
    return server.store.get(Place.parse(path))


def migrations(server: FakeApiServer) -> list[Any]:
    return server.store.select(Place.parse(_MIGRATIONS), lambda _: True)


def events(server: FakeApiServer) -> dict[str, str]:
    found = server.store.select(Place.parse(EVENTS.path("ns")), lambda _: True)
    return {body["reason"]: body["note"] for body in found}


async def test_outdated_launchers_are_labelled_counted_and_replaced(server: FakeApiServer, client: KubeClient) -> None:
    strategy(server, "LiveMigrate")
    put_guest(server, "a")
    put_guest(server, "b", "new")
    async with updater(client) as made:
        assert made.outdated is None
        assert await made.look() == 5.0
        assert made.outdated == 1
    (migration,) = migrations(server)
    assert migration["spec"]["vmiName"] == "a"
    assert stored(server, VIRTUAL_MACHINE_INSTANCES.path("ns", "a"))["metadata"]["labels"] == {LABEL: ""}
    assert "labels" not in stored(server, VIRTUAL_MACHINE_INSTANCES.path("ns", "b"))["metadata"]
    status = stored(server, KUBEVIRT)["status"]
    assert (status["outdatedVirtualMachineInstanceWorkloads"], status["phase"]) == (1, "Deployed")
    created = f"Created Migration {migration['metadata']['name']} for automated workload update"
    assert events(server) == {"SuccessfulCreate": created}


@pytest.mark.parametrize(
    ("waits", "created"), [("", 0), ("ParallelMigrations", 0), ("MigrationBackoff", 1), ("AnotherPod", 1)]
)
@pytest.mark.parametrize("phase", ["", "Pending"])
async def test_a_migration_that_waits_for_something_else_than_a_place_holds_up_no_update(
    server: FakeApiServer, client: KubeClient, waits: str, created: int, phase: str
) -> None:
    server.patch(KUBEVIRT, {"spec": {"configuration": {"migrations": {"parallelMigrationsPerCluster": 1}}}})
    strategy(server, "LiveMigrate")
    put_guest(server, "a")
    conditions = [{"type": "Waiting", "status": "True", "reason": waits}] if waits else []
    status = {"phase": phase, "conditions": conditions}
    server.put(_MIGRATIONS, {"metadata": {"name": "of-b"}, "spec": {"vmiName": "b"}, "status": status})
    async with updater(client) as made:
        await made.look()
    assert len(migrations(server)) == 1 + created


@pytest.mark.parametrize("refused", [False, True])
async def test_a_withdrawn_request_is_deleted_and_an_event(
    server: FakeApiServer, client: KubeClient, refused: bool
) -> None:
    strategy(server, "LiveMigrate")
    put_guest(server, "a", "new")
    meta = {"name": "update", "annotations": {"kubevirt.io/workloadUpdateMigration": ""}}
    server.put(_MIGRATIONS, {"metadata": meta, "spec": {"vmiName": "a"}, "status": {"phase": "Pending"}})

    def refuse(method: str, place: Place) -> None:
        if refused and method == "DELETE":
            raise Refused(403, "Forbidden", "not today")

    server.fault = refuse
    async with updater(client) as made:
        await made.look()
    assert len(migrations(server)) == refused
    if refused:
        assert "not today" in events(server)["FailedChangeAbortion"]
    else:
        assert events(server) == {"SuccessfulChangeAbortion": "Aborted change for vmi: a"}


async def test_without_methods_outdated_launchers_are_only_counted(server: FakeApiServer, client: KubeClient) -> None:
    strategy(server)
    put_guest(server, "a")
    async with updater(client) as made:
        assert await made.look() is None and migrations(server) == []
        assert stored(server, KUBEVIRT)["status"]["outdatedVirtualMachineInstanceWorkloads"] == 1
        patches = server.count("PATCH")
        await made.look()
    assert server.count("PATCH") == patches


async def test_nothing_begins_before_the_suite_is_as_asked(server: FakeApiServer, client: KubeClient) -> None:
    strategy(server, "LiveMigrate", "Evict")
    server.patch(KUBEVIRT, {"status": {"targetDeploymentID": "another"}})
    put_guest(server, "a")
    async with updater(client) as made:
        await made.look()
    assert migrations(server) == []


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        (404, "gone", ""),
        (429, 'denied the request: Eviction triggered evacuation of VMI "ns/a"', "SuccessfulEvict"),
        (429, "Cannot evict pod as it would violate the pod's disruption budget.", "FailedEvict"),
    ],
)
async def test_a_guest_that_cannot_migrate_is_evicted_by_kubernetes_rules(
    server: FakeApiServer, client: KubeClient, code: int, message: str, reason: str
) -> None:
    strategy(server, "LiveMigrate", "Evict", batchEvictionInterval="10m")
    put_guest(server, "a", migratable="False")
    evicted: list[str] = []

    def answer(method: str, place: Place) -> None:
        if method == "POST" and place.plural == "pods":
            evicted.append(place.name)
            raise Refused(code, "Refused", message)

    server.fault = answer
    async with updater(client, idle=timedelta(minutes=9)) as made:
        await made.look()
    assert evicted == []
    async with updater(client, idle=timedelta(minutes=11)) as made:
        await made.look()
        await made.look()
    assert evicted == ["pod-a"] and list(events(server)) == ([reason] if reason else [])


async def test_a_refused_migration_does_not_keep_others_from_theirs(server: FakeApiServer, client: KubeClient) -> None:
    strategy(server, "LiveMigrate")
    put_guest(server, "a")
    put_guest(server, "b")

    def refuse(place: Place, body: Any) -> None:
        if body.get("spec", {}).get("vmiName") == "a":
            raise Refused(403, "Forbidden", "exceeded quota")

    server.admit = refuse
    async with updater(client) as made:
        await made.look()
    assert [migration["spec"]["vmiName"] for migration in migrations(server)] == ["b"]
    assert "exceeded quota" in events(server)["FailedCreate"]


async def test_a_cache_that_is_behind_moves_nobody_twice(server: FakeApiServer, client: KubeClient) -> None:
    strategy(server, "LiveMigrate")
    put_guest(server, "a")
    async with updater(client) as first, updater(client) as second:
        await first.look()
        assert await second.look() == 5.0
        assert len(migrations(server)) == 1
        server.patch(VIRTUAL_MACHINE_INSTANCES.path("ns", "a"), {"status": {"nodeName": "node2"}})
        server.remove(f"{_MIGRATIONS}/{migrations(server)[0]['metadata']['name']}")
        await second.look()
    assert migrations(server) == []


@pytest.mark.parametrize("code", [403, 500])
async def test_a_refused_eviction_does_not_keep_others_from_theirs(
    server: FakeApiServer, client: KubeClient, code: int
) -> None:
    strategy(server, "Evict")
    for name in ("a", "b"):
        put_guest(server, name)
    evicted: list[str] = []

    def answer(method: str, place: Place) -> None:
        if method == "POST" and place.plural == "pods":
            evicted.append(place.name)
            raise Refused(code, "Refused", "webhook pods.example.com denied the request")

    server.fault = answer
    async with updater(client) as made:
        await made.look()
    assert evicted == ["pod-a", "pod-b"]
    assert "pods.example.com denied" in events(server)["FailedEvict"]


async def test_a_guest_whose_label_is_refused_does_not_keep_others_from_theirs(
    server: FakeApiServer, client: KubeClient
) -> None:
    strategy(server)
    for name in ("a", "b"):
        put_guest(server, name)

    def refuse(method: str, place: Place) -> None:
        if method == "PATCH" and (place.plural, place.name) == ("virtualmachineinstances", "a"):
            raise Refused(403, "Forbidden", "webhook vmis.example.com denied the request")

    server.fault = refuse
    async with updater(client) as made:
        await made.look()
    assert stored(server, VIRTUAL_MACHINE_INSTANCES.path("ns", "b"))["metadata"]["labels"] == {LABEL: ""}
    assert stored(server, KUBEVIRT)["status"]["outdatedVirtualMachineInstanceWorkloads"] == 2


PIN = "kubevirt.io/launcher-release"


async def outdated(server: FakeApiServer, client: KubeClient) -> int | None:
    async with updater(client) as made:
        await made.look()
    return made.outdated


async def test_a_guest_with_the_launcher_that_it_asks_for_is_not_outdated_and_without_the_pin_it_is(
    server: FakeApiServer, client: KubeClient
) -> None:
    strategy(server, "LiveMigrate")
    put_guest(server, "a", "new:0.1.0", annotations={PIN: "0.1.0"})
    assert await outdated(server, client) == 0 and migrations(server) == []
    server.patch(VIRTUAL_MACHINE_INSTANCES.path("ns", "a"), {"metadata": {"annotations": {PIN: None}}})
    assert await outdated(server, client) == 1
    assert [migration["spec"]["vmiName"] for migration in migrations(server)] == ["a"]


async def test_a_namespaces_launcher_makes_its_guests_outdated_unless_they_ask_for_another(
    server: FakeApiServer, client: KubeClient
) -> None:
    strategy(server)
    server.put(NAMESPACES.path(), {"metadata": {"name": "ns", "annotations": {PIN: "0.1.0"}}})
    put_guest(server, "a", "new")
    put_guest(server, "b", "new", annotations={PIN: ""})
    put_guest(server, "c", "new:0.1.0")
    assert await outdated(server, client) == 1
    labelled = [stored(server, VIRTUAL_MACHINE_INSTANCES.path("ns", name))["metadata"].get("labels") for name in "abc"]
    assert labelled == [{LABEL: ""}, None, None]


async def test_a_guest_whose_launcher_is_not_started_any_more_stays_and_says_why(
    server: FakeApiServer, client: KubeClient
) -> None:
    strategy(server, "LiveMigrate", "Evict")
    put_guest(server, "a", "new:0.0.9", annotations={PIN: "0.0.9"})
    assert await outdated(server, client) == 1 and migrations(server) == []
    conditions = stored(server, VIRTUAL_MACHINE_INSTANCES.path("ns", "a"))["status"]["conditions"]
    (blocked,) = [found for found in conditions if found["type"] == "WorkloadUpdateBlocked"]
    assert blocked["reason"] == "InvalidAnnotation"
    assert blocked["message"].startswith(f"metadata.annotations.{PIN}: '0.0.9' is not allowed, use the tag of a")
