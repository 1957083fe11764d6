"""What users request of VirtualMachines is written although their guests come and go."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from virt_api.errors import NotFound
from virt_api.subresources.call import parse_call
from virt_api.subresources.lifecycle import Lifecycle
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place

KEY = ("ns", "guest")


async def stop(client: KubeClient) -> int:
    """The status of the answer to a forced stop."""
    call = parse_call("PUT", version="v1", namespace="ns", resource="virtualmachines", name="guest", rest="stop")

    async def answer(request: web.Request) -> web.Response:
        try:
            return await Lifecycle(client).serve(request, call)
        except NotFound:
            return web.Response(status=404)

    application = web.Application()
    application.router.add_put("/", answer)
    async with TestClient(TestServer(application)) as user:
        return (await user.put("/", json={"gracePeriod": 0})).status


@pytest.mark.parametrize(("gone", "status"), [(VIRTUAL_MACHINE_INSTANCES, 202), (VIRTUAL_MACHINES, 404)])
async def test_what_goes_between_reading_and_writing_is_looked_for_again(
    server: FakeApiServer, client: KubeClient, gone: object, status: int
) -> None:
    vm = {"metadata": {"name": "guest"}, "spec": {"runStrategy": "Always", "template": {"spec": {}}}}
    uid = server.put(VIRTUAL_MACHINES.path("ns"), vm)["metadata"]["uid"]
    owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": "guest", "uid": uid, "controller": True}
    vmi = {"metadata": {"name": "guest", "ownerReferences": [owner]}, "spec": {}, "status": {"phase": "Running"}}
    server.put(VIRTUAL_MACHINE_INSTANCES.path("ns"), vmi)
    lost = [VIRTUAL_MACHINE_INSTANCES, *([VIRTUAL_MACHINES] if gone is VIRTUAL_MACHINES else [])]

    def overtake(method: str, _: Place) -> None:
        while method == "PATCH" and lost:
            server.remove(lost.pop().path(*KEY))

    server.fault = overtake
    assert await stop(client) == status
    if status == 202:
        assert server.store.get(Place.parse(VIRTUAL_MACHINES.path(*KEY)))["spec"]["runStrategy"] == "Halted"
