"""The real API server behaves as the fake one of the unit tests does: the same suite, against both."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import NAMESPACES
from virt_core.testing.api_server_conformance import CHECKS, Check


@pytest.fixture
async def client() -> AsyncIterator[KubeClient]:
    async with KubeClient.connect("conformance-test") as client:
        yield client


@pytest.fixture
async def namespace(client: KubeClient) -> AsyncIterator[str]:
    name = f"conformance-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await client.create(NAMESPACES, None, body)
    yield name
    await client.delete(NAMESPACES, None, name)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conforms(check: Check, client: KubeClient, namespace: str) -> None:
    await check(client, namespace)
