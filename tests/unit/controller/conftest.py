"""The fake API server with the objects that a controller needs."""

from __future__ import annotations

import pytest
from virt_core.kube.resource import KUBEVIRTS
from virt_core.testing.api_server import FakeApiServer


@pytest.fixture
async def server(server: FakeApiServer) -> FakeApiServer:
    """With a KubeVirt object: without one no pod is created."""
    server.put(KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt"}, "spec": {}})
    return server
