"""What users request of VirtualMachines is written although their guests come and go."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from virt_api.errors import ApiError
from virt_api.subresources.call import parse_call
from virt_api.subresources.lifecycle import Lifecycle
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place

KEY = ("ns", "guest")


async def put(client: KubeClient, verb: str, **options: object) -> int:
    """The status of the answer."""
    call = parse_call("PUT", version="v1", namespace="ns", resource="virtualmachines", name="guest", rest=verb)

    async def answer(request: web.Request) -> web.Response:
        try:
            return await Lifecycle(client).serve(request, call)
        except ApiError as error:
            return web.Response(status=error.code)

    application = web.Application()
    application.router.add_put("/", answer)
    async with TestClient(TestServer(application)) as user:
        return (await user.put("/", json=options)).status


def put_vm(server: FakeApiServer, spec: dict[str, Any], **status: Any) -> str:
    """A VirtualMachine; returns its UID."""
    vm = {"metadata": {"name": "guest"}, "spec": {**spec, "template": {"spec": {}}}, "status": status}
    return str(server.put(VIRTUAL_MACHINES.path("ns"), vm)["metadata"]["uid"])


def put_vmi(server: FakeApiServer, uid: str) -> None:
    """The VirtualMachineInstance of the VirtualMachine of that UID."""
    owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": "guest", "uid": uid, "controller": True}
    vmi = {"metadata": {"name": "guest", "ownerReferences": [owner]}, "spec": {}, "status": {"phase": "Running"}}
    server.put(VIRTUAL_MACHINE_INSTANCES.path("ns"), vmi)


def stored(server: FakeApiServer) -> Any:
    """The VirtualMachine."""
    return server.store.get(Place.parse(VIRTUAL_MACHINES.path(*KEY)))


@pytest.mark.parametrize(("verb", "before", "after"), [("start", "Halted", "Always"), ("stop", "Always", "Halted")])
async def test_a_usual_start_and_stop_are_a_single_request(
    server: FakeApiServer, client: KubeClient, verb: str, before: str, after: str
) -> None:
    put_vm(server, {"runStrategy": before}, printableStatus="Stopped")
    assert await put(client, verb) == 202
    assert server.requests == [("PATCH", VIRTUAL_MACHINES.path(*KEY))]
    assert stored(server)["spec"]["runStrategy"] == after


async def test_an_unusual_start_is_decided_from_what_is_stored(server: FakeApiServer, client: KubeClient) -> None:
    put_vmi(server, put_vm(server, {"runStrategy": "Halted"}, created=True))
    assert await put(client, "start") == 409
    assert stored(server)["spec"]["runStrategy"] == "Halted"


async def test_the_older_field_is_switched(server: FakeApiServer, client: KubeClient) -> None:
    put_vm(server, {"running": False}, printableStatus="Stopped")
    assert await put(client, "start") == 202
    assert stored(server)["spec"] == {"running": True, "template": {"spec": {}}}


async def test_a_stop_withdraws_starts_that_wait(server: FakeApiServer, client: KubeClient) -> None:
    requests = [{"action": "Start", "data": {"paused": "true"}}]
    put_vm(server, {"runStrategy": "Always"}, stateChangeRequests=requests, printableStatus="Starting")
    assert await put(client, "stop") == 202
    assert stored(server)["spec"]["runStrategy"] == "Halted"
    assert "stateChangeRequests" not in stored(server)["status"]


@pytest.mark.parametrize("verb", ["start", "stop"])
async def test_one_that_does_not_exist_is_not_found(server: FakeApiServer, client: KubeClient, verb: str) -> None:
    assert await put(client, verb) == 404


@pytest.mark.parametrize(("gone", "status"), [(VIRTUAL_MACHINE_INSTANCES, 202), (VIRTUAL_MACHINES, 404)])
async def test_what_goes_between_reading_and_writing_is_looked_for_again(
    server: FakeApiServer, client: KubeClient, gone: object, status: int
) -> None:
    put_vmi(server, put_vm(server, {"runStrategy": "Always"}))
    lost = [VIRTUAL_MACHINE_INSTANCES, *([VIRTUAL_MACHINES] if gone is VIRTUAL_MACHINES else [])]

    def overtake(method: str, _: Place) -> None:
        while method == "PATCH" and lost:
            server.remove(lost.pop().path(*KEY))

    server.fault = overtake
    assert await put(client, "stop", gracePeriod=0) == status
    if status == 202:
        assert stored(server)["spec"]["runStrategy"] == "Halted"
