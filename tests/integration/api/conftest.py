"""virt-api as a real process, between a handler over mTLS and the few answers of a kube-apiserver."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest

_FOLDER = Path(__file__).parent


def _beside(name: str) -> ModuleType:
    """A module of this folder: tests are imported by path, so none of them is a package."""
    full = f"virt_api_integration_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, _FOLDER / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[full]


authorities = _beside("authorities")
kube_api = _beside("kube_api")
handler = _beside("handler")


@dataclass
class VirtApi:
    """The process and everything around it."""

    url: str
    process: asyncio.subprocess.Process
    kube: Any
    handler: Any
    suite: Any  # authority of the suite
    proxy: Any  # authority of the front proxy
    folder: Path
    session: aiohttp.ClientSession
    lines: list[dict[str, Any]] = field(default_factory=list)

    def tls(self, client: Path | None) -> ssl.SSLContext:
        """A client's context with the certificate in the folder `client`, or without one."""
        context = ssl.create_default_context(cadata=self.suite.pem.decode())
        context.check_hostname = False
        if client is not None:
            context.load_cert_chain(client / "tls.crt", client / "tls.key")
        return context

    def front_proxy(self, common_name: str = "front-proxy-client") -> ssl.SSLContext:
        """The context of whoever holds a certificate of the front proxy's authority."""
        return self.tls(self.proxy.write_leaf(self.folder / f"client-{common_name}", common_name))

    async def answered(self, method: str, path: str, body: bytes = b"", user: str = "bob") -> tuple[int, bytes, str]:
        """Status, body and content type of a request by the front proxy."""
        headers = {"X-Remote-User": user}
        used = self.front_proxy()
        async with self.session.request(method, self.url + path, headers=headers, data=body, ssl=used) as answer:
            return answer.status, await answer.read(), answer.content_type

    async def get(
        self, path: str, *, user: str | None = "bob", context: ssl.SSLContext | None = None, method: str = "GET"
    ) -> tuple[int, Any]:
        """Status and JSON document; as the front proxy for `user` unless told otherwise."""
        headers = {"Connection": "Upgrade", "Upgrade": "websocket"} if path.endswith("/console") else {}
        if user is not None:
            headers["X-Remote-User"] = user
        used = context if context is not None else self.front_proxy()
        async with self.session.request(method, self.url + path, headers=headers, ssl=used) as answer:
            return answer.status, json.loads(await answer.read())

    async def is_ready(self) -> bool:
        """What the kubelet's probe hears."""
        async with self.session.get(f"{self.url}/healthz", ssl=self.tls(None)) as answer:
            return answer.status == 200

    async def logged(self, message: str) -> dict[str, Any]:
        """The next line of the log with `message`."""
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            record: dict[str, Any] = json.loads(line)
            self.lines.append(record)
            if record["msg"] == message:
                return record
        raise AssertionError(f"the process ended without saying {message!r}: {self.lines}")


@pytest.fixture
async def virt_api(tmp_path: Path) -> AsyncIterator[VirtApi]:
    """Running and ready, with the guest "vm" running on node1 and its handler there."""
    suite, proxy = authorities.Authority("suite"), authorities.Authority("front proxy")
    served = handler.Handler()
    name = "virt-handler.kubevirt.svc"
    handler_port = await served.start(suite.write_leaf(tmp_path / "handler", "kubevirt.io:system:virt-handler", name))
    kube = kube_api.KubeApi()
    kube.config_maps.append(kube_api.front_proxy_rules(proxy.pem.decode()))
    kube.pods.append(kube_api.handler_pod("virt-handler-abc", "node1"))
    kube.guests["vm"] = kube_api.guest("vm")
    await kube.start()
    environment = {
        **os.environ,
        "KUBECONFIG": str(_kubeconfig(tmp_path, kube.url)),
        "VIRT_API_LISTENS_ON": "0",
        "VIRT_API_RPC_LISTENS_ON": "0",
        "VIRT_HANDLER_LISTENS_ON": str(handler_port),
        "VIRT_API_CERTIFICATES": str(suite.write_leaf(tmp_path / "api", "kubevirt.io:system:virt-api")),
        "VIRT_API_DRAIN_SECONDS": "0.5",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "virt_api", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(30):
            running = VirtApi("", process, kube, served, suite, proxy, tmp_path, session)
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
        await kube.stop()
        await served.stop()


def _kubeconfig(folder: Path, url: str) -> Path:
    path = folder / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(content))
    return path
