"""The Helm chart's Jobs before a removal."""

from __future__ import annotations

import asyncio

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import KUBEVIRTS, NAMESPACES
from virt_core.testing.api_server import FakeApiServer
from virt_operator.packaging import chart_hooks
from virt_operator.packaging.chart_hooks import StillInUse, after_install, before_removal


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart_hooks, "_AGAIN", 0.01)


def put(server: FakeApiServer, name: str) -> None:
    server.put(KUBEVIRTS.path("suite"), {"metadata": {"name": name, "namespace": "suite"}})


async def test_the_namespace_that_helm_made_is_labelled(server: FakeApiServer, client: KubeClient) -> None:
    server.put(NAMESPACES.path(), {"metadata": {"name": "suite", "labels": {"mine": "stays"}}})
    await after_install(client, "suite", None)
    labels = (await client.get(NAMESPACES, None, "suite"))["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"
    assert labels["mine"] == "stays"


async def test_removal_deletes_the_chart_s_kubevirt_object(server: FakeApiServer, client: KubeClient) -> None:
    put(server, "kubevirt")
    await before_removal(client, "suite", delete=True)
    assert await client.list(KUBEVIRTS, "suite") == []


async def test_removal_waits_until_the_operator_has_let_the_object_go(
    server: FakeApiServer, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(server, "kubevirt")

    async def finalized(*_: object) -> None:
        """The API server only marks an object that has a finalizer."""

    with monkeypatch.context() as patched:
        patched.setattr(client, "delete", finalized)
        removal = asyncio.create_task(before_removal(client, "suite", delete=True))
        lists = server.count("LIST")
        await server.received("LIST", lists + 3)
        assert not removal.done()
    await client.delete(KUBEVIRTS, "suite", "kubevirt")
    await removal


@pytest.mark.parametrize(("name", "delete"), [("kubevirt", False), ("another", True)])
async def test_removal_is_refused_while_someone_else_s_object_is_there(
    name: str, delete: bool, server: FakeApiServer, client: KubeClient
) -> None:
    put(server, name)
    with pytest.raises(StillInUse, match=f"delete kubevirt {name}"):
        await before_removal(client, "suite", delete=delete)
    assert len(await client.list(KUBEVIRTS, "suite")) == 1
