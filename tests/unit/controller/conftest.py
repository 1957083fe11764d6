"""A fake API server and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import KUBEVIRTS
from virt_core.testing.api_server import FakeApiServer


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    """With a KubeVirt object: without one no pod is made."""
    async with FakeApiServer.running() as server:
        server.put(KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt"}, "spec": {}})
        yield server


@pytest.fixture
async def client(server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KubeClient]:
    monkeypatch.setenv("KUBECONFIG", str(server.write_kubeconfig(tmp_path / "kubeconfig")))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    async with KubeClient.connect("test") as client:
        yield client
