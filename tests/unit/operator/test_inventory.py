"""What the operator believes to be in the cluster after its own writes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from virt_core.kube.client import KubeClient
from virt_core.kube.resource import CONFIG_MAPS
from virt_core.rpc.tls import Certificates
from virt_core.testing.api_server import FakeApiServer
from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.reconcile.inventory import Inventory
from virt_operator.strategy.ref import Ref

REF = Ref("ConfigMap", "kubevirt", "written")
BODY: dict[str, Any] = {
    "metadata": {"name": "written", "labels": {"app.kubernetes.io/managed-by": "virt-operator"}},
}


async def test_an_object_that_is_deleted_before_the_watch_showed_it_is_known_to_be_absent(
    client: KubeClient, server: FakeApiServer, tmp_path: Path
) -> None:
    changed = asyncio.Event()
    inventory = Inventory(client, AuthorityWatch(client, "kubevirt"), Certificates(tmp_path), "kubevirt", changed.set)
    (watch,) = (one for name, one in inventory.watches() if name == "watch of ConfigMap" or one.close())
    running = asyncio.create_task(watch)
    try:
        await server.asked("WATCH", 1)
        server.hang()
        answer = server.put(CONFIG_MAPS.path("kubevirt"), BODY)
        inventory.wrote(REF, answer)
        assert REF in inventory.observe().owned  # seen at once, without the watch
        await client.delete(CONFIG_MAPS, "kubevirt", "written")
        server.compact()
        server.cut()
        server.hang(False)
        await server.asked("LIST", 2)
        async with asyncio.timeout(5):
            while REF in inventory.observe().owned:
                changed.clear()
                await changed.wait()
    finally:
        running.cancel()
