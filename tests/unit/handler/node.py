"""A handler of a node against a fake API server: everything except the guests is real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from virt_core.kube.client import KubeClient
from virt_core.kube.configuration import ConfigurationCache
from virt_core.kube.events import EventRecorder
from virt_core.kube.queue import WorkQueue
from virt_core.kube.reflector import Key, Reflector
from virt_core.kube.resource import KUBEVIRTS, VIRTUAL_MACHINE_INSTANCES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.store import Place
from virt_core.vmi.instance import VirtualMachineInstance
from virt_handler.machines.execute import Executor
from virt_handler.machines.pod import ConnectLauncher
from virt_handler.migration.execute import MigrationExecutor
from virt_handler.reconcile import Machines

from tests.support.patience import PATIENCE
from tests.unit.handler.demo import NODE, POD_UID

VMIS = VIRTUAL_MACHINE_INSTANCES.path("default")
DEMO = VIRTUAL_MACHINE_INSTANCES.path("default", "demo")


@asynccontextmanager
async def handler(client: KubeClient, connect: ConnectLauncher) -> AsyncIterator[Machines]:
    queue = WorkQueue[Key]("machines")
    vmis = Reflector(client, VIRTUAL_MACHINE_INSTANCES, VirtualMachineInstance, queue.add)
    configuration = ConfigurationCache(client, "kubevirt")
    executor = Executor(client, EventRecorder(client, "virt-handler", "virt-handler-x"), vmis.rewrote)
    machines = Machines(
        NODE,
        queue=queue,
        vmis=vmis,
        configuration=configuration,
        connect=connect,
        executor=executor,
        migrations=MigrationExecutor(client, vmis.rewrote),
    )
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in (vmis.run(), configuration.run(), machines.run())]
        yield machines
        for task in tasks:
            task.cancel()


def put_vmi(server: FakeApiServer, *, volumes: Sequence[dict[str, Any]] = (), **status: Any) -> None:
    stored = {"phase": "Scheduling", "activePods": {POD_UID: NODE}, **status}
    spec = {"domain": {"devices": {}, "memory": {"guest": "128Mi"}}, "volumes": list(volumes)}
    server.put(KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt"}, "spec": {}})
    server.put(VMIS, {"metadata": {"name": "demo"}, "spec": spec, "status": stored})


def write_status(server: FakeApiServer, **fields: Any) -> None:
    """As another client; watches see it a moment later, so that a patch which is under way meets it."""
    server.store.merge_patch(Place.parse(DEMO), {"status": fields})
    asyncio.get_running_loop().call_later(0.05, server.stir)


async def until(server: FakeApiServer, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The VMI's status, once it is so."""
    while True:
        patches = server.count("PATCH")
        status: dict[str, Any] = server.store.get(Place.parse(DEMO))["status"]
        if holds(status):
            return status
        await server.received("PATCH", patches + 1)


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next((condition for condition in status.get("conditions", []) if condition["type"] == kind), {})
