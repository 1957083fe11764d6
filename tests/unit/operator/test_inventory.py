"""The operator's view of the cluster after its own writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from virt_core.conventions.labels import FINALIZE_UPGRADE, RETRY_UPGRADE
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import CONFIG_MAPS, KUBEVIRTS, NODES
from virt_core.rpc.tls import Certificates
from virt_core.testing.api_server import FakeApiServer
from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.reconcile.inventory import Inventory
from virt_operator.strategy.ref import Ref
from virt_operator.suite.observed import Review

from tests.support.patience import PATIENCE

REF = Ref("ConfigMap", "kubevirt", "written")
BODY: dict[str, Any] = {
    "metadata": {"name": "written", "labels": {"app.kubernetes.io/managed-by": "virt-operator"}},
}


def watching(
    kind: str, client: KubeClient, folder: Path, changed: Callable[[], None]
) -> tuple[Inventory, Coroutine[Any, Any, None]]:
    """An inventory, and its watch of one kind."""
    inventory = Inventory(client, AuthorityWatch(client, "kubevirt"), Certificates(folder), "kubevirt", changed)
    (watch,) = (found for name, found in inventory.watches() if name == f"watch of {kind}" or found.close())
    return inventory, watch


async def until(inventory: Inventory, changed: asyncio.Event, *, there: bool) -> None:
    """The object is in the inventory, or no longer."""
    async with asyncio.timeout(PATIENCE):
        while (REF in inventory.observe().owned) is not there:
            changed.clear()
            await changed.wait()


async def test_an_object_that_is_deleted_before_the_watch_showed_it_is_known_to_be_absent(
    client: KubeClient, server: FakeApiServer, tmp_path: Path
) -> None:
    changed = asyncio.Event()
    inventory, watch = watching("ConfigMap", client, tmp_path, changed.set)
    running = asyncio.create_task(watch)
    try:
        await server.received("WATCH", 1)
        server.hang()
        answer = server.put(CONFIG_MAPS.path("kubevirt"), BODY)
        inventory.wrote(REF, answer)
        assert REF in inventory.observe().owned  # seen at once, without the watch
        await client.delete(CONFIG_MAPS, "kubevirt", "written")
        server.compact()
        server.cut()
        server.hang(False)
        await server.received("LIST", 2)
        await until(inventory, changed, there=False)
    finally:
        running.cancel()


async def test_a_repair_that_deletes_an_object_is_remembered_until_somebody_else_deletes_it(
    client: KubeClient, server: FakeApiServer, tmp_path: Path
) -> None:
    changed = asyncio.Event()
    inventory, watch = watching("ConfigMap", client, tmp_path, changed.set)
    server.put(CONFIG_MAPS.path("kubevirt"), BODY)
    running = asyncio.create_task(watch)
    try:
        await until(inventory, changed, there=True)
        inventory.repairs.deleting(REF, BODY, inventory.observe().owned[REF])
        await client.delete(CONFIG_MAPS, "kubevirt", "written")
        await until(inventory, changed, there=False)
        assert REF in inventory.observe().repairs
        inventory.repairs.created(REF, BODY, server.put(CONFIG_MAPS.path("kubevirt"), BODY))
        await until(inventory, changed, there=True)
        await client.delete(CONFIG_MAPS, "kubevirt", "written")
        await until(inventory, changed, there=False)
        assert REF not in inventory.observe().repairs
    finally:
        running.cancel()


async def test_a_heartbeat_on_a_node_is_no_reason_for_a_pass_and_the_end_of_its_kubelet_is(
    client: KubeClient, server: FakeApiServer, tmp_path: Path
) -> None:
    passes: list[None] = []
    changed = asyncio.Event()

    def note() -> None:
        passes.append(None)
        changed.set()

    def ready(status: str, beat: str) -> dict[str, Any]:
        condition = {"type": "Ready", "status": status}
        return {"metadata": {"name": "node1", "annotations": {"beat": beat}}, "status": {"conditions": [condition]}}

    inventory, watch = watching("Node", client, tmp_path, note)
    server.put(NODES.path(), ready("True", "1"))
    running = asyncio.create_task(watch)
    try:
        async with asyncio.timeout(PATIENCE):
            await changed.wait()
            server.patch(NODES.path(None, "node1"), ready("True", "2"))
            changed.clear()
            server.patch(NODES.path(None, "node1"), ready("Unknown", "2"))
            await changed.wait()
        assert len(passes) == 2
        assert inventory.observe().nodes["node1"].trouble == "node node1 is not ready"
    finally:
        running.cancel()


async def test_what_a_pod_has_printed_and_a_review_are_observed_and_are_reasons_for_a_pass(
    client: KubeClient, tmp_path: Path
) -> None:
    passes: list[None] = []
    inventory, watch = watching("Pod", client, tmp_path, lambda: passes.append(None))
    watch.close()
    inventory.printed("gone", {"before": "no record"})
    inventory.printed("uid", {"before": "no record"})
    assert inventory.observe().records == {"uid": {"before": "no record"}}, "of pods that are gone nothing is kept"
    review = Review("complete", "id", datetime.now(UTC), ())
    inventory.reviewed(review)
    assert inventory.observe().review == review and len(passes) == 3


async def test_a_wave_or_a_way_back_in_the_status_is_a_reason_for_a_pass_and_other_writes_are_not(
    client: KubeClient, server: FakeApiServer, tmp_path: Path
) -> None:
    passes: list[None] = []
    inventory, watch = watching("KubeVirt", client, tmp_path, lambda: passes.append(None))
    server.put(KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt"}, "spec": {}})
    running = asyncio.create_task(watch)

    async def write(body: dict[str, Any], *subresource: str) -> None:
        inventory.wrote_suite(await client.merge_patch(KUBEVIRTS, "kubevirt", "kubevirt", body, *subresource))

    wave = {"number": 1, "template": "t", "nodes": ["a"], "since": "2026-01-31T10:00:00Z"}
    upgrade = {"operation": "Update", "step": "virt-handler", "since": "2026-01-31T10:00:00Z"}
    try:
        await server.received("WATCH", 1)
        began = len(passes)
        await write({"status": {"upgrade": {**upgrade, "waitingFor": []}}}, "status")
        assert len(passes) == began
        await write({"status": {"upgrade": {**upgrade, "wave": wave}}}, "status")
        assert len(passes) == began + 1
        suite = inventory.observe().suite  # at once, without the watch
        assert suite is not None and suite.status.upgrade is not None and suite.status.upgrade.wave is not None
        await write({"metadata": {"annotations": {RETRY_UPGRADE: "1"}}})
        await write({"metadata": {"annotations": {FINALIZE_UPGRADE: "v1.3.0"}}})
        assert len(passes) == began + 3
        way_back = {"version": "v1.2.3", "registry": "", "release": "v1.2.3", "level": 1}
        await write({"status": {"upgrade": {"wayBack": way_back, "level": 1}}}, "status")
        assert len(passes) == began + 4
        await write({"status": {"upgrade": {"level": 2}}}, "status")
        assert len(passes) == began + 4
    finally:
        running.cancel()
