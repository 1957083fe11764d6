"""expand-spec and expand-vm-spec answer with an expanded VirtualMachine, or name what is wrong with it."""

from __future__ import annotations

import re
import threading
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from virt_api.errors import ApiError
from virt_api.subresources import expansion
from virt_api.subresources.call import parse_call, parse_expand_manifest
from virt_api.subresources.expansion import Expansion
from virt_core.instancetype import expand as expand_module
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import (
    CONTROLLER_REVISIONS,
    VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES,
    VIRTUAL_MACHINE_CLUSTER_PREFERENCES,
    VIRTUAL_MACHINE_INSTANCETYPES,
    VIRTUAL_MACHINE_PREFERENCES,
    VIRTUAL_MACHINES,
    Resource,
)
from virt_core.objects.kubevirt import Configuration
from virt_core.testing.api_server import FakeApiServer

from tests.samples.instancetypes import instancetype, preference, revision

VM = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachine",
    "metadata": {"name": "vm"},
    "spec": {"runStrategy": "Halted", "template": {"spec": {"domain": {"memory": {"guest": "1Gi"}}}}},
}


CONFIGURATION: Any = SimpleNamespace(current=Configuration(), unknown="")


async def expand(client: KubeClient, body: bytes) -> tuple[int, Any]:
    """Code and document of the answer, or the message of the refusal."""
    call = parse_expand_manifest(version="v1", namespace="ns")

    async def answer(request: web.Request) -> web.Response:
        try:
            return await Expansion(client, CONFIGURATION).expand_manifest(request, call)
        except ApiError as error:
            return web.json_response(error.message, status=error.code)

    application = web.Application()
    application.router.add_put("/", answer)
    async with TestClient(TestServer(application)) as user:
        response = await user.put("/", data=body)
        return response.status, await response.json()


async def expand_stored(client: KubeClient, name: str) -> tuple[int, Any]:
    """The same of a VirtualMachine that is stored."""
    path = {"version": "v1", "namespace": "ns", "resource": "virtualmachines", "name": name}
    try:
        response = await Expansion(client, CONFIGURATION).expand(parse_call("GET", **path, rest="expand-spec"))
    except ApiError as error:
        return error.code, error.message
    assert isinstance(response.body, bytes)
    return response.status, msgspec.json.decode(response.body)


@pytest.mark.parametrize("namespace", [None, "", "ns"])
async def test_a_manifest_without_matchers_comes_back_as_it_is(client: KubeClient, namespace: str | None) -> None:
    metadata = {"name": "vm"} if namespace is None else {"name": "vm", "namespace": namespace}
    vm = {**VM, "metadata": metadata}
    assert await expand(client, msgspec.json.encode(vm)) == (200, vm)
    assert await expand(client, yaml.safe_dump(vm).encode()) == (200, vm)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metadata": {"name": "vm", "namespace": "other"}}, "metadata.namespace: VM namespace must be empty or ns"),
        ({"spec": {"runStrategy": "Halted"}}, "spec: .* missing required field `template`"),
        ({"spec": {"template": {"spec": "none"}}}, "spec.template.spec: .*Expected `object`, got `str`"),
        ({"metadata": "vm"}, "metadata: .*Expected `object`, got `str`"),
    ],
)
async def test_a_manifest_that_is_none_is_refused_by_field(
    client: KubeClient, change: dict[str, Any], words: str
) -> None:
    code, message = await expand(client, msgspec.json.encode({**VM, **change}))
    assert code == 400
    assert re.search(words, message), message


async def test_a_body_is_required(client: KubeClient) -> None:
    assert await expand(client, b"") == (400, "the body of expand-vm-spec is missing, send a VirtualMachine in it")


def naming(template: dict[str, Any] | None = None, **matchers: dict[str, str]) -> dict[str, Any]:
    """A VirtualMachine with matchers and without CPU and memory."""
    spec = {"domain": {"devices": {}}, **(template or {})}
    return {**VM, "spec": {"runStrategy": "Halted", "template": {"spec": spec}, **matchers}}


async def both(server: FakeApiServer, client: KubeClient, vm: dict[str, Any]) -> list[tuple[int, Any]]:
    """What the stored VirtualMachine and the manifest become."""
    server.put(VIRTUAL_MACHINES.path("ns"), vm)
    return [await expand_stored(client, "vm"), await expand(client, msgspec.json.encode(vm))]


Shape = tuple[str, str, Resource, dict[str, Any]]
SHAPES: list[Shape] = [
    ("instancetype", "", VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES, instancetype()),
    ("instancetype", "VirtualMachineInstancetype", VIRTUAL_MACHINE_INSTANCETYPES, instancetype()),
    ("preference", "", VIRTUAL_MACHINE_CLUSTER_PREFERENCES, preference()),
    ("preference", "virtualmachinepreferences", VIRTUAL_MACHINE_PREFERENCES, preference()),
]


@pytest.mark.parametrize("shape", SHAPES)
async def test_either_is_merged_and_the_matcher_is_gone(
    server: FakeApiServer, client: KubeClient, shape: Shape
) -> None:
    role, kind, resource, body = shape
    named = {**body, "metadata": {"name": "named"}}
    server.put(resource.path("ns"), named)
    template = {"domain": {"devices": {}, "memory": {"guest": "1Gi"}}} if role == "preference" else None
    for code, vm in await both(server, client, naming(template, **{role: {"name": "named", "kind": kind}})):
        assert code == 200 and role not in vm["spec"]
        domain = vm["spec"]["template"]["spec"]["domain"]
        assert domain["cpu"]["sockets"] == (2 if role == "instancetype" else 1)
        assert domain["memory"]["guest"] == "1Gi" and domain["devices"]["interfaces"]


@pytest.mark.parametrize("shape", SHAPES)
async def test_one_that_does_not_exist_is_named(server: FakeApiServer, client: KubeClient, shape: Shape) -> None:
    role, kind, resource, _ = shape
    message = f'{resource.plural}.instancetype.kubevirt.io "none" not found'
    answers = await both(server, client, naming(**{role: {"name": "none", "kind": kind}}))
    assert answers == [(404, message), (400, message)]


async def test_a_conflict_names_the_fields(server: FakeApiServer, client: KubeClient) -> None:
    server.put(VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES.path(), instancetype())
    template = {"domain": {"devices": {}, "cpu": {"cores": 1}}}
    field = "spec.template.spec.domain.cpu.cores"
    message = f"{field}: VM field(s) {field} conflicts with selected instance type"
    answers = await both(server, client, naming(template, instancetype={"name": "small"}))
    assert answers == [(409, message), (400, message)]


async def test_the_revision_that_a_stored_one_runs_with_is_merged(server: FakeApiServer, client: KubeClient) -> None:
    server.put(VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES.path(), instancetype(8))
    server.put(CONTROLLER_REVISIONS.path("ns"), revision("r", instancetype(4)))
    stored = {"instancetypeRef": {"name": "small", "controllerRevisionRef": {"name": "r"}}}
    answers = await both(server, client, {**naming(instancetype={"name": "small"}), "status": stored})
    assert [vm["spec"]["template"]["spec"]["domain"]["cpu"]["sockets"] for _, vm in answers] == [4, 4]


@pytest.mark.parametrize(
    ("matcher", "words"),
    [
        ({"name": "x", "kind": "Pod"}, "spec.instancetype.kind: 'Pod' is not allowed"),
        ({"kind": "VirtualMachineInstancetype"}, "spec.instancetype: has neither name"),
        ({"inferFromVolume": "root"}, "spec.instancetype.inferFromVolume: cannot be expanded, use name"),
        ({"name": ".."}, "spec.instancetype.name: '..' is not allowed"),
    ],
)
async def test_a_matcher_that_names_nothing_is_refused(
    server: FakeApiServer, client: KubeClient, matcher: dict[str, str], words: str
) -> None:
    for code, message in await both(server, client, naming(instancetype=matcher)):
        assert code in (400, 409) and words in message


async def test_a_stored_one_without_matchers_stays_and_one_that_is_missing_is_not_found(
    server: FakeApiServer, client: KubeClient
) -> None:
    stored = server.put(VIRTUAL_MACHINES.path("ns"), VM)
    assert await expand_stored(client, "vm") == (200, stored)
    assert await expand_stored(client, "other") == (404, 'virtualmachines.kubevirt.io "other" not found')


async def test_a_manifest_is_expanded_beside_the_loop_that_carries_consoles(
    server: FakeApiServer, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put(VIRTUAL_MACHINE_INSTANCETYPES.path("ns"), instancetype())
    threads = []

    def recorded(*args: Any) -> Any:
        threads.append(threading.current_thread())
        return expand_module.expanded(*args)

    monkeypatch.setattr(expansion, "expanded", recorded)
    name = {"kind": "VirtualMachineInstancetype", "name": instancetype()["metadata"]["name"]}
    code, _ = await expand(client, msgspec.json.encode(naming(instancetype=name)))
    assert code == 200 and threads and threading.main_thread() not in threads
