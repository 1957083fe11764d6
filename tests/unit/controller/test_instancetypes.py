"""The cache of instance types and preferences, and who waits for one."""

from __future__ import annotations

import asyncio

from virt_controller.caches import Caches
from virt_controller.vm.reconcile import VmReconciler
from virt_core.conventions import labels
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.reflector import Key
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCETYPES, VIRTUAL_MACHINE_PREFERENCES, VIRTUAL_MACHINES
from virt_core.testing.api_server import FakeApiServer

from tests.support.patience import PATIENCE

KIND = VIRTUAL_MACHINE_INSTANCETYPES


async def test_a_machine_hears_once_of_the_object_that_it_waits_for(server: FakeApiServer, client: KubeClient) -> None:
    caches, heard = Caches(client, "kubevirt"), asyncio.Queue[Key]()
    caches.instancetypes.subscribe(heard.put_nowait)
    running = asyncio.create_task(caches.run(), name="caches")
    try:
        async with asyncio.timeout(PATIENCE):
            await caches.wait()
            assert caches.instancetypes.find(KIND, "small", ("ns", "guest")) is None
            assert caches.instancetypes.find(KIND, "small", ("elsewhere", "other")) is None
            body = {"metadata": {"name": "small", "annotations": {"a": "b"}}, "spec": {"cpu": {"guest": 1}}}
            server.put(KIND.path("ns"), body)
            assert await heard.get() == ("ns", "guest")
            found = caches.instancetypes.find(KIND, "small", ("ns", "guest"))
            assert found is not None and found.body(KIND)["spec"] == {"cpu": {"guest": 1}}
            assert "annotations" not in found.body(KIND)["metadata"]
            server.patch(KIND.path("ns", "small"), {"spec": {"cpu": {"guest": 2}}})
            server.put(KIND.path("elsewhere"), {"metadata": {"name": "small"}})
            assert await heard.get() == ("elsewhere", "other")
    finally:
        running.cancel()


async def test_kinds_that_are_not_defined_hold_up_nobody(server: FakeApiServer, client: KubeClient) -> None:
    server.undefined.add(VIRTUAL_MACHINE_PREFERENCES.plural)
    caches = Caches(client, "kubevirt")
    running = asyncio.create_task(caches.run(), name="caches")
    try:
        async with asyncio.timeout(PATIENCE):
            await caches.wait()
        assert caches.instancetypes.find(VIRTUAL_MACHINE_PREFERENCES, "any", ("ns", "guest")) is None
    finally:
        running.cancel()


async def test_a_machine_that_is_gone_waits_for_nothing(server: FakeApiServer, client: KubeClient) -> None:
    missing = {"name": "small", "kind": "VirtualMachineInstancetype"}
    spec = {"runStrategy": "Always", "instancetype": missing, "template": {"spec": {"domain": {"devices": {}}}}}
    meta = {"name": "guest", "finalizers": [labels.VM_FINALIZER]}
    server.put(VIRTUAL_MACHINES.path("ns"), {"metadata": meta, "spec": spec})
    caches, heard, gone = Caches(client, "kubevirt"), asyncio.Queue[Key](), asyncio.Event()
    reconciler = VmReconciler(client, caches, EventRecorder(client, "test", "test"))
    caches.instancetypes.subscribe(heard.put_nowait)
    running = asyncio.create_task(caches.run(), name="caches")
    try:
        async with asyncio.timeout(PATIENCE):
            await caches.wait()
            await reconciler.reconcile(("ns", "guest"))
            caches.vms.subscribe(lambda _: gone.set() if caches.vms.get(("ns", "guest")) is None else None)
            server.remove(VIRTUAL_MACHINES.path("ns", "guest"))
            await gone.wait()
            await reconciler.reconcile(("ns", "guest"))
            assert caches.instancetypes.find(KIND, "small", ("ns", "another")) is None
            server.put(KIND.path("ns"), {"metadata": {"name": "small"}})
            assert await heard.get() == ("ns", "another")
            assert heard.empty()
    finally:
        running.cancel()
