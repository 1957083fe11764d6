"""The handler's cache has what is on its node and what is about to arrive there."""

from __future__ import annotations

import asyncio
from typing import Any

from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Key
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES as VMI
from virt_core.testing.api_server import FakeApiServer
from virt_handler.own_vmis import OwnVmis

from tests.support.patience import PATIENCE

from .node import VMIS

HERE, ARRIVING = "kubevirt.io/nodeName", "kubevirt.io/migrationTargetNodeName"


def put(server: FakeApiServer, name: str, **labels: str) -> None:
    server.put(VMIS, {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": {}})


async def test_machines_of_this_node_and_those_that_arrive_are_cached_once(
    server: FakeApiServer, client: KubeClient
) -> None:
    put(server, "here", **{HERE: "node1"})
    put(server, "both", **{HERE: "node1", ARRIVING: "node1"})
    put(server, "arriving", **{HERE: "node2", ARRIVING: "node1"})
    put(server, "elsewhere", **{HERE: "node2"})
    changed: asyncio.Queue[Key] = asyncio.Queue()
    vmis = OwnVmis(client, "node1", changed.put_nowait)
    async with asyncio.timeout(PATIENCE):
        running = asyncio.create_task(vmis.run())
        await vmis.synced.wait()
        assert sorted(vmi.metadata.name for vmi in vmis) == ["arriving", "both", "here"]
        assert vmis.get(("default", "elsewhere")) is None
        while not changed.empty():
            changed.get_nowait()
        labels: dict[str, Any] = {HERE: "node1", ARRIVING: None}
        await client.merge_patch(VMI, "default", "arriving", {"metadata": {"labels": labels}})
        while (found := vmis.get(("default", "arriving"))) is None or found.metadata.labels != {HERE: "node1"}:
            await changed.get()
        running.cancel()


async def test_an_own_write_is_seen_at_once_and_the_newest_version_counts(
    server: FakeApiServer, client: KubeClient
) -> None:
    put(server, "both", **{HERE: "node1", ARRIVING: "node1"})
    vmis = OwnVmis(client, "node1", lambda _: None)
    async with asyncio.timeout(PATIENCE):
        running = asyncio.create_task(vmis.run())
        await vmis.synced.wait()
        server.hang()
        answer = await client.merge_patch(VMI, "default", "both", {"status": {"phase": "Running"}})
        vmis.rewrote(answer)
        (seen,) = vmis
        assert seen.status.phase == "Running"
        running.cancel()
