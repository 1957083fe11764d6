"""A standby's memory stays constant in a cluster whose VirtualMachineInstances come and go.

``python -m tests.unit.controller.test_standby 5000`` prints keys and memory as they grow, or do not.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from virt_controller.caches import Caches
from virt_controller.node.reconcile import Nodes
from virt_controller.pod.containers import LauncherSettings
from virt_controller.vmi.plan import Planner
from virt_controller.vmi.reconcile import VmiReconciler
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import KUBEVIRTS, NODES, PODS, VIRTUAL_MACHINE_INSTANCES
from virt_core.testing.api_server import FakeApiServer
from virt_core.vmi.instance import VirtualMachineInstance

from tests.support.patience import PATIENCE


class Standby:
    """A controller that does not lead."""

    def __init__(self, client: KubeClient) -> None:
        self.caches = Caches(client, "kubevirt")
        self.nodes = Nodes(client, self.caches.nodes)
        planner = Planner(LauncherSettings("launcher", "IfNotPresent"))
        self.reconciler = VmiReconciler(client, self.caches, self.nodes, planner, EventRecorder(client, "t", "t"))
        self._changed = asyncio.Event()
        for cache in (self.caches.vmis, self.caches.pods, self.caches.nodes):
            cache.subscribe(lambda _: self._changed.set())

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until the caches are so."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    def knows(self, vmi: str, node: str) -> bool:
        """Whether the VMI is in the cache, on that node."""
        found = self.caches.vmis.get(("ns", vmi))
        return found is not None and node in found.status.active_pods.values()

    def kept(self) -> int:
        """Entries of every mapping, set and list that the replica's own parts hold, however deep."""
        seen: set[int] = set()
        return sum(_entries(part, seen) for part in (self.caches, self.nodes, self.reconciler))


def _entries(found: object, seen: set[int]) -> int:
    if id(found) in seen:
        return 0
    seen.add(id(found))
    if isinstance(found, (dict, set, list, tuple)):
        inner = list(found.values()) if isinstance(found, dict) else list(found)
        return len(found) + sum(_entries(value, seen) for value in inner)
    if type(found).__module__.startswith("virt_co") and hasattr(found, "__dict__"):
        return sum(_entries(value, seen) for value in vars(found).values())
    return 0


async def come_and_go(client: KubeClient, standby: Standby, number: int) -> None:
    """One VMI with its pod, on a node of its own, from beginning to end."""
    name, node = f"ci-{number}", f"node-{number}"
    unknown = {"conditions": [{"type": "Ready", "status": "Unknown"}]}
    await client.create(NODES, None, {"metadata": {"name": node}})
    await client.merge_patch(NODES, None, node, {"status": unknown}, "status")
    vmi = await client.create(VIRTUAL_MACHINE_INSTANCES, "ns", {"metadata": {"name": name}, "spec": {}})
    uid = vmi["metadata"]["uid"]
    meta = {
        "name": f"virt-launcher-{name}",
        "labels": {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": uid},
        "annotations": {"kubevirt.io/domain": name},
        "ownerReferences": [{"kind": "VirtualMachineInstance", "name": name, "uid": uid, "controller": True}],
    }
    pod = await client.create(PODS, "ns", {"metadata": meta, "spec": {}})
    await client.merge_patch(PODS, "ns", meta["name"], {"status": {"phase": "Succeeded"}}, "status")
    status = {"activePods": {pod["metadata"]["uid"]: node}}
    await client.merge_patch(VIRTUAL_MACHINE_INSTANCES, "ns", name, {"status": status})
    await standby.until(lambda: bool(standby.caches.pods.of(_decoded(vmi))) and standby.knows(name, node))
    await client.delete(PODS, "ns", meta["name"], grace=0)
    await client.delete(NODES, None, node)
    await standby.until(lambda: not standby.caches.pods.of(_decoded(vmi)))
    await client.delete(VIRTUAL_MACHINE_INSTANCES, "ns", name)
    await standby.until(lambda: not standby.knows(name, node) and standby.caches.nodes.get(("", node)) is None)


def _decoded(vmi: object) -> VirtualMachineInstance:
    return msgspec.json.decode(msgspec.json.encode(vmi), type=VirtualMachineInstance)


@asynccontextmanager
async def standing_by(kubeconfig: Path) -> AsyncIterator[tuple[KubeClient, Standby]]:
    os.environ["KUBECONFIG"] = str(kubeconfig)
    async with KubeClient.connect("test") as client:
        standby = Standby(client)
        running = asyncio.create_task(standby.caches.run(), name="caches")
        await standby.caches.wait()
        try:
            yield client, standby
        finally:
            running.cancel()


async def test_a_standby_keeps_nothing_of_what_is_gone(server: FakeApiServer, tmp_path: Path) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        standing_by(server.write_kubeconfig(tmp_path / "kubeconfig")) as (client, standby),
    ):
        await come_and_go(client, standby, 0)
        before = standby.kept()
        for number in range(1, 20):
            await come_and_go(client, standby, number)
        assert standby.kept() == before


async def _serve(kubeconfig: Path) -> None:
    async with FakeApiServer.running() as server:
        server.put(KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt"}})
        print(server.write_kubeconfig(kubeconfig), flush=True)
        await asyncio.Event().wait()


async def _measure(many: int) -> None:
    """With the fake API server, which forgets nothing, in a process of its own."""
    with TemporaryDirectory() as folder:
        kubeconfig = Path(folder, "kubeconfig")
        argv = (sys.executable, "-m", __spec__.name, "serve", str(kubeconfig))
        serving = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
        try:
            assert serving.stdout is not None
            await serving.stdout.readline()
            async with standing_by(kubeconfig) as (client, standby):
                for number in range(many + 1):
                    if number % (many // 10) == 0:
                        gc.collect()
                        pages = int(Path("/proc/self/statm").read_text().split()[1])
                        mebibytes = pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
                        print(f"{number:5} VMIs made and deleted: {standby.kept()} entries, {mebibytes:.1f} MiB")
                    await come_and_go(client, standby, number)
        finally:
            serving.kill()
            await serving.wait()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(_serve(Path(sys.argv[2])))
    else:
        asyncio.run(_measure(int(sys.argv[1])))
