"""What others leave in the cluster cannot hold a VirtualMachine for ever."""

from __future__ import annotations

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place

from tests.unit.controller.vm_world import KEY, VmWorld

_OURS = "kubevirt.io/virtualMachineControllerFinalize"
_VMI = Place.parse(VIRTUAL_MACHINE_INSTANCES.path(*KEY))


@pytest.mark.parametrize("number", ["9" * 19, "9" * 5000])
async def test_a_generation_beyond_64_bits_reads_as_unknown(
    server: FakeApiServer, client: KubeClient, number: str
) -> None:
    world = VmWorld(server)
    await world.settle(client)
    server.store.merge_patch(_VMI, {"metadata": {"annotations": {"kubevirt.io/vm-generation": number}}})
    world.edit("128Mi")
    await world.settle(client)
    assert world.status["observedGeneration"] == 0
    world.delete()
    await world.settle(client)
    assert world.vm is None
