"""virt-api as a real process, with helpers for requests."""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES
from virt_core.testing.api_server import FakeApiServer

from tests.integration.api.handler import Handler
from tests.samples.virt_api import guest
from tests.support.authorities import Authority


@dataclass
class VirtApi:
    """The process and everything around it."""

    url: str
    process: asyncio.subprocess.Process
    kube: FakeApiServer
    handler: Handler
    suite: Authority
    proxy: Authority
    """Of the front proxy."""
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
        """Status and JSON document; by default as the front proxy for `user`."""
        headers = {"Connection": "Upgrade", "Upgrade": "websocket"} if path.endswith("/console") else {}
        if user is not None:
            headers["X-Remote-User"] = user
        used = context if context is not None else self.front_proxy()
        async with self.session.request(method, self.url + path, headers=headers, ssl=used) as answer:
            return answer.status, json.loads(await answer.read())

    def put_guest(self, name: str, **status: Any) -> None:
        """A guest that runs on node1, but for these fields of its status."""
        body = guest(name)
        self.kube.put(VIRTUAL_MACHINE_INSTANCES.path("default"), {**body, "status": {**body["status"], **status}})

    def set_conditions(self, *conditions: str) -> None:
        """The conditions of the guest "vm" that are true."""
        status = {"conditions": [{"type": condition, "status": "True"} for condition in conditions]}
        self.kube.patch(VIRTUAL_MACHINE_INSTANCES.path("default", "vm"), {"status": status})

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
