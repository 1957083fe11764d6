"""A handler keeps nothing of guests that have come, migrated away and gone: entries of what it holds, and its tasks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from kubevirt.launcher.v1 import state_pb2
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import KUBEVIRTS
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.store import Place
from virt_handler.reconcile import Machines

from tests.support.held import SHARED, entries
from tests.support.patience import PATIENCE
from tests.unit.handler.demo import NODE

from .fake_launcher import DirectConnections
from .fake_migration import MigratingLauncher, Network
from .node import VMIS, handler

MODULES = ("virt_handler", *SHARED)


def held(machines: Machines) -> Counter[str]:
    """With the tasks, by the first word of their names."""
    tasks = Counter(f"task {task.get_name().split()[0]}" for task in asyncio.all_tasks())
    return entries([machines], MODULES) + tasks


async def live(server: FakeApiServer, connections: DirectConnections, number: int) -> None:
    """A guest from its start over a migration to another node until its object is gone."""
    name, pod, launcher = f"guest{number}", f"pod{number}", MigratingLauncher(Network())
    place = Place.parse(f"{VMIS}/{name}")
    connections.add(pod, launcher)
    spec = {"domain": {"devices": {}, "memory": {"guest": "128Mi"}}}
    status = {"phase": "Scheduling", "activePods": {pod: NODE}}
    server.put(VMIS, {"metadata": {"name": name}, "spec": spec, "status": status})
    await until(lambda: server.store.get(place)["status"]["phase"] == "Running")
    move = {
        "migrationUid": f"move{number}",
        "sourceNode": NODE,
        "sourcePodUID": pod,
        "targetNode": "node2",
        "targetPodUID": f"target{number}",
    }
    server.patch(f"{VMIS}/{name}", {"status": {"activePods": {f"target{number}": "node2"}, "migrationState": move}})
    await until(lambda: any(f"migration move{number} " in task.get_name() for task in asyncio.all_tasks()))
    launcher.become(state_pb2.MACHINE_PHASE_ENDED, end=state_pb2.MACHINE_END_MIGRATED)
    server.remove(f"{VMIS}/{name}")
    await until(lambda: not any(f"guest{number}" in task.get_name() for task in asyncio.all_tasks()))


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - the other side is the handler's own tasks
        await asyncio.sleep(0.01)


async def test_a_handler_keeps_nothing_of_guests_that_have_gone(server: FakeApiServer, client: KubeClient) -> None:
    connections = DirectConnections()
    server.put(KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt"}, "spec": {}})
    async with asyncio.timeout(PATIENCE), handler(client, connections.connect) as machines:
        for number in range(2):
            await live(server, connections, number)
        connections.launchers.clear()
        before = held(machines)
        for number in range(2, 8):
            await live(server, connections, number)
        connections.launchers.clear()
        assert held(machines) - before == Counter()
