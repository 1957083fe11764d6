"""What a VirtualMachine with a guest asks of the API server from its creation until it is gone, events too: both of its
controllers work, and a test plays virt-api, scheduler, kubelet and handler.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from virt_controller.caches import Caches
from virt_controller.node.reconcile import Nodes
from virt_controller.pod.containers import LauncherSettings
from virt_controller.pod.observed import LauncherPod
from virt_controller.vm.reconcile import VmReconciler
from virt_controller.vmi.plan import Planner
from virt_controller.vmi.reconcile import VmiReconciler
from virt_core.conventions.labels import VM_FINALIZER
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import NAMESPACES, NODES, PODS, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from virt_core.objects.meta import rfc3339
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place

from tests.support.patience import PATIENCE
from tests.unit.controller.vm_world import KEY, TEMPLATE, admit_as_virt_api_does

VM = Place.parse(VIRTUAL_MACHINES.path(*KEY))
VMI = VIRTUAL_MACHINE_INSTANCES.path(*KEY)
NODE = {"metadata": {"name": "node1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
SPEC = {"runStrategy": "Always", "template": TEMPLATE}
ENDED = {"name": "compute", "state": {"terminated": {"exitCode": 0, "message": "GuestShutdown"}}}
UNTIL_IT_RUNS = {
    "PATCH virtualmachines/status": 2,  # before it is started, and when it runs
    "POST controllerrevisions": 1,
    "POST virtualmachineinstances": 1,
    "POST pods": 1,
    "POST events": 2,
    "PATCH virtualmachineinstances": 1,
}
UNTIL_IT_IS_GONE = {
    "PATCH virtualmachines/status": 1,
    "DELETE virtualmachineinstances": 1,
    "DELETE pods": 1,
    "POST events": 2,
    "PATCH virtualmachineinstances": 1,  # both finalizers at once
    "PATCH virtualmachines": 1,
}


class Life:
    """One VirtualMachine, and what its controllers have seen of it."""

    def __init__(self, server: FakeApiServer, caches: Caches) -> None:
        self.caches = caches
        self._server = server
        self._changed = asyncio.Event()
        for cache in (caches.vms, caches.vmis, caches.pods):
            cache.subscribe(lambda _: self._changed.set())

    @property
    def requests(self) -> Counter[str]:
        """All but those of caches."""
        found: Counter[str] = Counter()
        for method, path in self._server.requests:
            if method in ("GET", "POST", "PATCH", "DELETE"):
                status = "/status" if path.endswith("/status") else ""
                found[f"{method} {Place.parse(path.removesuffix(status)).plural}{status}"] += 1
        return found

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return when the caches hold what makes it so."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    @property
    def pod(self) -> LauncherPod | None:
        """The launcher pod."""
        vmi = self.caches.vmis.get(KEY)
        return next(iter(self.caches.pods.of(vmi)), None) if vmi is not None else None

    @property
    def word(self) -> str:
        """The printable status."""
        vm = self.caches.vms.get(KEY)
        return vm.status.printable_status if vm is not None else "gone"

    def kubelet_reports(self, **body: Any) -> None:
        """Any part of the pod."""
        assert self.pod is not None
        self._server.patch(PODS.path("ns", self.pod.metadata.name), body)

    async def handler_reports(self, phase: str, ready: str) -> None:
        """And virt-controller sees it."""
        vmi = self.caches.vmis.get(KEY)
        assert vmi is not None
        moment = {"phase": phase, "phaseTransitionTimestamp": rfc3339(datetime.now(UTC))}
        moments = [*vmi.status.phase_transition_timestamps, moment]
        conditions = [{"type": "Ready", "status": ready}]
        status = {"phase": phase, "phaseTransitionTimestamps": moments, "conditions": conditions}
        self._server.patch(VMI, {"status": status})
        await self.until(lambda: (seen := self.caches.vmis.get(KEY)) is not None and seen.status.phase == phase)

    async def runs(self) -> None:
        """From the creation of the VirtualMachine until its guest runs."""
        await self.until(lambda: self.pod is not None)
        self.kubelet_reports(spec={"nodeName": "node1"})
        await self.until(lambda: (vmi := self.caches.vmis.get(KEY)) is not None and bool(vmi.status.active_pods))
        await self.handler_reports("Running", "True")
        await self.until(lambda: self.word == "Running")

    async def goes(self) -> None:
        """From the deletion of the VirtualMachine until it is gone."""
        self._server.store.delete(VM)
        self._server.stir()
        await self.until(lambda: self.pod is not None and self.pod.metadata.deletion_timestamp is not None)
        await self.handler_reports("Succeeded", "False")
        self.kubelet_reports(status={"phase": "Succeeded", "containerStatuses": [ENDED]})
        await self.until(lambda: self.pod is not None and self.pod.ended)
        assert self.pod is not None
        self._server.remove(PODS.path("ns", self.pod.metadata.name))
        await self.until(lambda: self.word == "gone")


@asynccontextmanager
async def life(server: FakeApiServer, client: KubeClient) -> AsyncIterator[Life]:
    """Both controllers work on a VirtualMachine that virt-api has just admitted."""
    server.admit = admit_as_virt_api_does
    server.put(NODES.path(), NODE)
    server.put(NAMESPACES.path(), {"metadata": {"name": "ns"}})
    caches, events = Caches(client, "kubevirt"), EventRecorder(client, "test", "test")
    nodes, launcher = Nodes(client, caches.nodes), LauncherSettings("registry.test/virt-launcher:1", "IfNotPresent")
    vms, vmis = VmReconciler(client, caches, events), VmiReconciler(client, caches, nodes, Planner(launcher), events)
    found = Life(server, caches)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in (caches.run(), nodes.work(), vms.work(), vmis.work())]
        try:
            async with asyncio.timeout(PATIENCE):
                await caches.wait()
                meta = {"name": "guest", "finalizers": [VM_FINALIZER]}
                server.put(VIRTUAL_MACHINES.path("ns"), {"metadata": meta, "spec": SPEC})
                yield found
        finally:
            for task in tasks:
                task.cancel()


async def test_a_life_costs_no_more_than_these_requests(server: FakeApiServer, client: KubeClient) -> None:
    async with life(server, client) as machine:
        await machine.runs()
        assert machine.requests == UNTIL_IT_RUNS
        await machine.goes()
        assert machine.requests - Counter(UNTIL_IT_RUNS) == UNTIL_IT_IS_GONE
    assert sum(UNTIL_IT_RUNS.values()) + sum(UNTIL_IT_IS_GONE.values()) == 15
