"""Launcher pods by their VirtualMachineInstance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from virt_controller.caches import Caches
from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Key
from virt_core.kube.resource import (
    PODS,
    VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    Resource,
)
from virt_core.testing.api_server import FakeApiServer
from virt_core.vmi.instance import VirtualMachineInstance

from tests.support.patience import PATIENCE

PATH = PODS.path("ns")


class Watched:
    """Caches at work, and the VirtualMachineInstances whose pods changed."""

    def __init__(self, client: KubeClient) -> None:
        self.caches = Caches(client, "kubevirt")
        self.changed: asyncio.Queue[Key] = asyncio.Queue()
        self.caches.pods.subscribe(self.changed.put_nowait)

    async def next(self) -> Key:
        async with asyncio.timeout(PATIENCE):
            return await self.changed.get()

    def names(self, vmi: VirtualMachineInstance) -> list[str]:
        return [pod.metadata.name for pod in self.caches.pods.of(vmi)]


@asynccontextmanager
async def watching(client: KubeClient) -> AsyncIterator[Watched]:
    watched = Watched(client)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(watched.caches.run(), name="caches")
        async with asyncio.timeout(PATIENCE):
            await watched.caches.wait()
        yield watched
        running.cancel()


def guest(server: FakeApiServer, status: dict[str, Any] | None = None) -> VirtualMachineInstance:
    body = {"metadata": {"name": "guest"}, "spec": {}, "status": status or {}}
    stored = server.put(VIRTUAL_MACHINE_INSTANCES.path("ns"), body)
    return msgspec.json.decode(msgspec.json.encode(stored), type=VirtualMachineInstance)


def pod(vmi: VirtualMachineInstance, name: str, owner: str | None = None, phase: str = "Running") -> dict[str, Any]:
    uid = vmi.metadata.uid
    metadata = {
        "name": name,
        "labels": {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": uid},
        "annotations": {"kubevirt.io/domain": "guest"},
        "ownerReferences": [{"kind": "X", "name": "guest", "uid": owner or uid, "controller": True}],
    }
    return {"metadata": metadata, "status": {"phase": phase}}


async def test_pods_are_found_by_the_vmi_that_they_were_made_for_and_by_their_uid(
    server: FakeApiServer, client: KubeClient
) -> None:
    vmi = guest(server)
    server.put(PATH, pod(vmi, "second"))
    async with watching(client) as watched:
        assert watched.names(vmi) == ["second"]
        first = server.put(PATH, pod(vmi, "first"))
        while await watched.next() and watched.names(vmi) != ["first", "second"]:
            pass
        found = watched.caches.pods.get(first["metadata"]["uid"])
        assert found is not None and found.metadata.name == "first"
        await client.delete(PODS, "ns", "first")
        assert await watched.next() == ("ns", "guest")
        assert watched.names(vmi) == ["second"] and watched.caches.pods.get(first["metadata"]["uid"]) is None


async def test_a_pod_that_only_claims_to_be_a_vmi_s_is_not_its_own(server: FakeApiServer, client: KubeClient) -> None:
    vmi = guest(server)
    server.put(PATH, pod(vmi, "copy", owner="somebody-else"))
    async with watching(client) as watched:
        assert watched.names(vmi) == []


async def test_a_pod_that_moves_to_another_vmi_is_taken_from_the_first(
    server: FakeApiServer, client: KubeClient
) -> None:
    vmi = guest(server)
    server.put(PATH, pod(vmi, "launcher"))
    async with watching(client) as watched:
        assert await watched.next()
        change = {"labels": {"kubevirt.io/created-by": "x"}, "annotations": {"kubevirt.io/domain": "other"}}
        await client.merge_patch(PODS, "ns", "launcher", {"metadata": change})
        assert {await watched.next(), await watched.next()} == {("ns", "guest"), ("ns", "other")}
        assert watched.names(vmi) == []


async def test_the_last_version_of_an_active_pod_that_ended_is_kept_as_long_as_its_vmi(
    server: FakeApiServer, client: KubeClient
) -> None:
    vmi = guest(server)
    launcher = server.put(PATH, pod(vmi, "launcher", phase="Succeeded"))
    other = server.put(PATH, pod(vmi, "other", phase="Succeeded"))
    status = {"activePods": {launcher["metadata"]["uid"]: "node1"}}
    async with watching(client) as watched:
        await client.merge_patch(VIRTUAL_MACHINE_INSTANCES, "ns", "guest", {"status": status})
        seen = asyncio.Event()
        watched.caches.vmis.subscribe(lambda _: seen.set())
        while (current := watched.caches.vmis.get(("ns", "guest"))) is None or not current.status.active_pods:
            seen.clear()
            await seen.wait()
        for gone in (launcher, other):
            await client.delete(PODS, "ns", gone["metadata"]["name"])
        while watched.names(vmi):
            await watched.next()
        assert [kept.metadata.name for kept in watched.caches.pods.removed(current)] == ["launcher"]
        await client.delete(VIRTUAL_MACHINE_INSTANCES, "ns", "guest")
        while watched.caches.vmis.get(("ns", "guest")) is not None:
            seen.clear()
            await seen.wait()
        assert watched.caches.pods.removed(current) == ()


@pytest.mark.parametrize(
    "gone",
    [VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS, VIRTUAL_MACHINE_INSTANCES],
    ids=lambda gone: gone.plural,
)
async def test_a_restart_during_the_suite_s_removal_does_not_wait_for_kinds_that_are_gone(
    gone: Resource, server: FakeApiServer, client: KubeClient
) -> None:
    server.undefined.add(gone.plural)
    async with watching(client) as watched:
        async with asyncio.timeout(PATIENCE):
            await watched.caches.wait()


async def test_machines_are_found_on_their_nodes_and_by_namespace_while_they_have_no_pod(
    server: FakeApiServer, client: KubeClient
) -> None:
    guest(server)
    async with watching(client) as watched:
        caches, changed = watched.caches, asyncio.Queue[Key]()
        caches.vmis.subscribe(changed.put_nowait)

        async def places(status: dict[str, Any] | None) -> list[list[str]]:
            if status is None:
                server.remove(VIRTUAL_MACHINE_INSTANCES.path("ns", "guest"))
            elif status:
                server.patch(VIRTUAL_MACHINE_INSTANCES.path("ns", "guest"), {"status": status})
            async with asyncio.timeout(PATIENCE):
                await changed.get() if status != {} else None
            found = (caches.waiting_vmis.of("ns"), caches.vmis_on_nodes.of("a"), caches.vmis_on_nodes.of("b"))
            return [[vmi.metadata.name for vmi in vmis] for vmis in found]

        assert await places({}) == [["guest"], [], []]
        assert await places({"activePods": {"x": "a"}, "nodeName": "a"}) == [[], ["guest"], []]
        assert await places({"activePods": {"y": "b"}}) == [[], ["guest"], ["guest"]], "it migrates"
        assert await places({"activePods": {"x": None}, "nodeName": "b"}) == [[], [], ["guest"]]
        assert [vmi.metadata.name for vmi in caches.waiting_vmis] == []
        assert await places(None) == [[], [], []]
