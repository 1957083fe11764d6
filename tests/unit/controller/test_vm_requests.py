"""A VirtualMachine costs the API server no request that nobody needs."""

from __future__ import annotations

from virt_core.kube.client import KubeClient
from virt_core.kube.resource import CONTROLLER_REVISIONS, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from virt_core.testing.api_server import FakeApiServer

from tests.unit.controller.vm_world import KEY, VmWorld

STATUS = VIRTUAL_MACHINES.path(*KEY, "status")
VMI = VIRTUAL_MACHINE_INSTANCES.path(*KEY)


async def test_a_stop_reports_once_and_reads_no_revision_before_its_guest_goes(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = VmWorld(server, "Always")
    await world.settle(client)
    world.report("Running")
    await world.settle(client)
    world.request("stop")
    server.requests.clear()
    await world.settle(client)
    assert world.status["printableStatus"] == "Stopping"
    revisions = CONTROLLER_REVISIONS.path("ns")
    assert not [path for method, path in server.requests if method == "GET" and path.startswith(f"{revisions}/")]
    writes = [request for request in server.requests if request[0] in ("PATCH", "DELETE")]
    assert writes == [("DELETE", VMI), ("PATCH", STATUS)]
