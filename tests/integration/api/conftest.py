"""virt-api as a real process, between a handler over mTLS and a fake API server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from virt_core.kube.resource import CONFIG_MAPS, KUBEVIRTS, PODS, VIRTUAL_MACHINE_INSTANCES
from virt_core.testing.api_server import FakeApiServer

from tests.integration.api.handler import Handler
from tests.integration.api.process import VirtApi
from tests.samples.virt_api import front_proxy_rules, guest, handler_pod
from tests.support.authorities import Authority
from tests.support.patience import PATIENCE


@pytest.fixture
async def virt_api(tmp_path: Path, server: FakeApiServer) -> AsyncIterator[VirtApi]:
    """Running and ready, with the guest "vm" running on node1 and its handler there."""
    suite, proxy = Authority("suite"), Authority("front proxy")
    served = Handler()
    name = "virt-handler.kubevirt.svc"
    handler_port = await served.start(suite.write_leaf(tmp_path / "handler", "kubevirt.io:system:virt-handler", name))
    server.put(CONFIG_MAPS.path("kube-system"), front_proxy_rules(proxy.pem.decode()))
    server.put(PODS.path("kubevirt"), handler_pod("virt-handler-abc", "node1"))
    server.put(KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt"}})
    server.put(VIRTUAL_MACHINE_INSTANCES.path("default"), guest("vm"))
    server.reviews.allows = lambda spec: spec["user"] == "bob"
    environment = {
        **os.environ,
        "POD_NAMESPACE": "kubevirt",
        "KUBECONFIG": str(server.write_kubeconfig(tmp_path / "kubeconfig")),
        "VIRT_HTTPS_LISTENS_ON": "0",
        "VIRT_RPC_LISTENS_ON": "0",
        "VIRT_HANDLER_LISTENS_ON": str(handler_port),
        "VIRT_CERTIFICATES": str(suite.write_leaf(tmp_path / "api", "kubevirt.io:system:virt-api")),
        "VIRT_DRAIN_SECONDS": "5",  # a request that is sent meanwhile may wait for a processor
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "virt_api", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE):
            running = VirtApi("", process, server, served, suite, proxy, tmp_path, session)
            await running.logged("trusting the front proxy")
            if not (serving := [line for line in running.lines if line["msg"] == "serving"]):
                serving = [await running.logged("serving")]
            running.url = f"https://localhost:{serving[0]['port']}"
            while not await running.is_ready():
                pass
            yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await served.stop()
