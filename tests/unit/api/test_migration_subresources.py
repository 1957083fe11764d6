"""migrate requests a migration, evacuate/cancel takes an eviction's mark back; both as virtctl sends them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from virt_api.errors import ApiError
from virt_api.subresources.call import parse_call
from virt_api.subresources.migration import Migration
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import (
    NODES,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)
from virt_core.objects.kubevirt import Configuration
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused

CONFIGURATION: Any = SimpleNamespace(current=Configuration(), unknown="")
VM, VMI = "virtualmachines", "virtualmachineinstances"


async def put(client: KubeClient, verb: str, resource: str = VM, **options: object) -> tuple[int, str]:
    """Status and message of the answer."""
    call = parse_call("PUT", version="v1", namespace="ns", resource=resource, name="web", rest=verb)
    served = Migration(client, CONFIGURATION)

    async def answer(request: web.Request) -> web.Response:
        try:
            return await (served.migrate if verb == "migrate" else served.cancel_evacuation)(request, call)
        except ApiError as error:
            return web.Response(status=error.code, text=error.message)

    application = web.Application()
    application.router.add_put("/", answer)
    async with TestClient(TestServer(application)) as user:
        response = await user.put("/", json=options)
        return response.status, await response.text()


def put_guest(server: FakeApiServer, phase: str = "Running", metadata: Any = None, **status: Any) -> None:
    """A VirtualMachine and its VirtualMachineInstance."""
    vm = server.put(VIRTUAL_MACHINES.path("ns"), {"metadata": {"name": "web"}, "spec": {"template": {"spec": {}}}})
    uid = vm["metadata"]["uid"]
    owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": "web", "uid": uid, "controller": True}
    meta = {"name": "web", "ownerReferences": [owner], **(metadata or {})}
    status = {"phase": phase, "nodeName": "node1", **status}
    server.put(VIRTUAL_MACHINE_INSTANCES.path("ns"), {"metadata": meta, "spec": {}, "status": status})
    server.put(NODES.path(), {"metadata": {"name": "node1"}})


def migrations(server: FakeApiServer) -> list[Any]:
    return server.store.select(Place.parse(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns")), lambda _: True)


def vmi(server: FakeApiServer) -> Any:
    return server.store.get(Place.parse(VIRTUAL_MACHINE_INSTANCES.path("ns", "web")))


@pytest.mark.parametrize("selector", [None, {"zone": "a"}])
async def test_migrate_creates_a_migration_with_the_selector(
    server: FakeApiServer, client: KubeClient, selector: Any
) -> None:
    put_guest(server)
    assert await put(client, "migrate", **({"addedNodeSelector": selector} if selector else {})) == (202, "")
    (migration,) = migrations(server)
    assert migration["metadata"]["name"].startswith("kubevirt-migrate-vm-")
    assert migration["spec"] == {"vmiName": "web", **({"addedNodeSelector": selector} if selector else {})}


async def test_a_dry_run_of_migrate_creates_nothing(server: FakeApiServer, client: KubeClient) -> None:
    put_guest(server)
    assert await put(client, "migrate", dryRun=["All"]) == (202, "") and migrations(server) == []


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"addedNodeSelector": {"a b": "c"}}, "addedNodeSelector"),
        ({"addedNodeSelector": {"a": "b c"}}, "addedNodeSelector.a"),
        ({"dryRun": ["Some"]}, "dryRun"),
        ({"force": True}, "force"),
    ],
)
async def test_a_wrong_option_of_migrate_is_named(
    server: FakeApiServer, client: KubeClient, options: Any, field: str
) -> None:
    put_guest(server)
    status, message = await put(client, "migrate", **options)
    assert status == 400 and message.startswith(f"{field}: ")


async def test_only_a_running_guest_migrates(server: FakeApiServer, client: KubeClient) -> None:
    assert (await put(client, "migrate"))[0] == 404
    put_guest(server, "Scheduled")
    assert await put(client, "migrate") == (
        409,
        'Operation cannot be fulfilled on virtualmachine.kubevirt.io "web": VM is not running',
    )
    server.remove(VIRTUAL_MACHINE_INSTANCES.path("ns", "web"))
    assert (await put(client, "migrate"))[0] == 404
    assert migrations(server) == []


@pytest.mark.parametrize(
    ("code", "reason", "answered"), [(422, "Invalid", 409), (409, "Conflict", 409), (503, "", 503)]
)
async def test_why_a_migration_is_refused_reaches_the_user(
    server: FakeApiServer, client: KubeClient, code: int, reason: str, answered: int
) -> None:
    put_guest(server)

    def refuse(_: Place, __: Any) -> None:
        raise Refused(code, reason, "Cannot migrate VMI, Reason: R, Message: M")

    server.admit = refuse
    status, message = await put(client, "migrate")
    assert status == answered and "Cannot migrate VMI, Reason: R, Message: M" in message


SOURCE = {"kubevirt.io/eviction-source": "descheduler"}


@pytest.mark.parametrize("resource", [VM, VMI])
@pytest.mark.parametrize("options", [{}, {"evacuationNodeName": "node1"}])
async def test_cancelling_an_evacuation_removes_the_mark(
    server: FakeApiServer, client: KubeClient, resource: str, options: Any
) -> None:
    put_guest(server, evacuationNodeName="node1", metadata={"annotations": {**SOURCE, "mine": "x"}})
    assert await put(client, "evacuate/cancel", resource, **options, dryRun=["All"]) == (200, "")
    assert vmi(server)["status"]["evacuationNodeName"] == "node1"
    assert await put(client, "evacuate/cancel", resource, **options) == (200, "")
    assert "evacuationNodeName" not in vmi(server)["status"]
    assert vmi(server)["metadata"]["annotations"] == {"mine": "x"}


async def test_cancelling_without_an_evacuation_changes_nothing(server: FakeApiServer, client: KubeClient) -> None:
    put_guest(server)
    assert await put(client, "evacuate/cancel", VMI) == (200, "") and server.count("PATCH") == 0


async def test_an_evacuation_from_another_node_is_not_cancelled(server: FakeApiServer, client: KubeClient) -> None:
    put_guest(server, evacuationNodeName="node1")
    status, message = await put(client, "evacuate/cancel", VMI, evacuationNodeName="node2")
    assert status == 409 and "evacuationNodeName: 'node2' is not allowed, use 'node1'" in message
    assert vmi(server)["status"]["evacuationNodeName"] == "node1"


@pytest.mark.parametrize(("effect", "answered"), [("NoSchedule", 400), ("NoExecute", 200)])
async def test_an_evacuation_by_the_drain_taint_is_not_cancelled(
    server: FakeApiServer, client: KubeClient, effect: str, answered: int
) -> None:
    put_guest(server, evacuationNodeName="node1")
    server.patch(NODES.path(None, "node1"), {"spec": {"taints": [{"key": "kubevirt.io/drain", "effect": effect}]}})
    status, message = await put(client, "evacuate/cancel")
    assert status == answered
    assert answered == 200 or 'Node "node1" has NodeDrainTaintKey "kubevirt.io/drain:NoSchedule"' in message


async def test_the_mark_of_a_node_that_is_gone_can_be_removed(server: FakeApiServer, client: KubeClient) -> None:
    put_guest(server, evacuationNodeName="node1")
    server.remove(NODES.path(None, "node1"))
    assert await put(client, "evacuate/cancel") == (200, "") and "evacuationNodeName" not in vmi(server)["status"]


async def test_cancelling_for_a_vm_without_a_guest_is_a_conflict(server: FakeApiServer, client: KubeClient) -> None:
    assert (await put(client, "evacuate/cancel"))[0] == 404
    put_guest(server)
    server.remove(VIRTUAL_MACHINE_INSTANCES.path("ns", "web"))
    assert (await put(client, "evacuate/cancel"))[0] == 409 and (await put(client, "evacuate/cancel", VMI))[0] == 404
