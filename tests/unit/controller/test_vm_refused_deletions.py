"""A policy that keeps a VirtualMachineInstance: its VirtualMachine says so and tries again, ever less often."""

from __future__ import annotations

import asyncio

import pytest
from virt_controller.caches import Caches
from virt_controller.vm.reconcile import VmReconciler
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused

from tests.unit.controller.vm_world import KEY, VmWorld


def keep_instances(method: str, place: Place) -> None:
    """The policy."""
    if method == "DELETE" and place.plural == VIRTUAL_MACHINE_INSTANCES.plural:
        raise Refused(403, "Forbidden", "a policy keeps it")


@pytest.mark.parametrize("how", ["stop", "deletion"])
async def test_a_refused_deletion_is_a_failure_until_it_is_allowed(
    server: FakeApiServer, client: KubeClient, how: str
) -> None:
    world = VmWorld(server)
    await world.settle(client)
    world.report("Running")
    await world.settle(client)
    server.fault = keep_instances
    if how == "stop":
        world.request("stop")
    else:
        world.delete()
    caches = Caches(client, "kubevirt")
    reconciler = VmReconciler(client, caches, EventRecorder(client, "test", "test"))
    watching = asyncio.create_task(caches.run())
    try:
        await caches.wait()
        assert await reconciler.reconcile(KEY) == 0.0
        again = await reconciler.reconcile(KEY)
        assert again is not None and 0 < again <= 2
        attempts = server.count("DELETE")
        await reconciler.reconcile(KEY)
        assert server.count("DELETE") == attempts
    finally:
        watching.cancel()
    failure = world.condition("Failure")
    assert (failure["status"], failure["reason"]) == ("True", "FailedDelete")
    assert "a policy keeps it" in failure["message"]
    assert world.events.count("FailedDelete") == 1
    server.fault = lambda _method, _place: None
    await world.settle(client)
    assert world.vmi["metadata"]["deletionTimestamp"]
    assert not world.condition("Failure")
