"""expand-vm-spec answers with the manifest in its body, or names what is wrong with it."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from virt_api.errors import ApiError
from virt_api.subresources.call import parse_expand_manifest
from virt_api.subresources.expansion import Expansion
from virt_core.kube.client import KubeClient

VM = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachine",
    "metadata": {"name": "vm"},
    "spec": {"runStrategy": "Halted", "template": {"spec": {"domain": {"memory": {"guest": "1Gi"}}}}},
}


async def expand(client: KubeClient, body: bytes) -> tuple[int, Any]:
    """Code and document of the answer, or the message of the refusal."""
    call = parse_expand_manifest(version="v1", namespace="ns")

    async def answer(request: web.Request) -> web.Response:
        try:
            return await Expansion(client).expand_manifest(request, call)
        except ApiError as error:
            return web.json_response(error.message, status=error.code)

    application = web.Application()
    application.router.add_put("/", answer)
    async with TestClient(TestServer(application)) as user:
        response = await user.put("/", data=body)
        return response.status, await response.json()


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
