"""A small console client: opens a guest's serial console, display or port through the aggregated API, like KubeVirt's
clients.

Called by __main__.py (``console NAMESPACE NAME``), the demo and the end-to-end tests. Needs a kubeconfig with a client
certificate. Knows nothing of the suite's internals.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import yaml

SUBPROTOCOL = "plain.kubevirt.io"
_PATH = "/apis/subresources.kubevirt.io/{version}/namespaces/{namespace}/virtualmachineinstances/{name}/{subresource}"
_OPENING = 30.0  # seconds
_CLOSING = 2.0


class ConsoleRefused(Exception):
    """The API did not open the console. `code` is the HTTP status, the text is its Status object."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class ConsoleEnded(Exception):
    """The console was closed before the expected text appeared. `seen` is its output."""

    def __init__(self, code: int | None, reason: str, seen: bytes) -> None:
        super().__init__(f"closed with {code} {reason!r} after {bytes(seen[-200:])!r}")
        self.code = code
        self.seen = seen


class Console:
    """An open console; `seen` is all output of the guest."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.seen = bytearray()
        self._searched = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, kubeconfig: Path, namespace: str, name: str, subresource: str = "console", *, version: str = "v1"
    ) -> AsyncIterator[Console]:
        """The console of a VirtualMachineInstance, or another stream of it, closed at the end of the block.

        Raises:
            ConsoleRefused: the API refused, or the VM does not run yet (code 400).
        """
        server, context = credentials(kubeconfig)
        url = server + _PATH.format(version=version, namespace=namespace, name=name, subresource=subresource)
        async with aiohttp.ClientSession() as session:
            async with asyncio.timeout(_OPENING):
                # aiohttp drops the body of a failed handshake, so the Status object is read by a second request.
                try:
                    socket = await session.ws_connect(url, ssl=context or True, protocols=(SUBPROTOCOL,), compress=0)
                except aiohttp.WSServerHandshakeError as error:
                    raise ConsoleRefused(error.status, await _refusal(session, url, context)) from error
            connection = socket.get_extra_info("socket")
            try:
                yield cls(socket)
            finally:
                await socket.close()
                await session.close()
                await _closed(connection)

    async def send(self, data: bytes) -> None:
        """Type `data`."""
        await self._socket.send_bytes(data)

    async def read(self) -> bytes:
        """The guest's next output.

        Raises:
            ConsoleEnded: the console was closed.
        """
        while True:
            message = await self._socket.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                data: bytes = message.data
                self.seen += data
                return data
            if message.type is not aiohttp.WSMsgType.TEXT:
                reason = message.extra if isinstance(message.extra, str) else ""
                raise ConsoleEnded(self._socket.close_code, reason, bytes(self.seen))

    async def read_until(self, text: bytes, deadline: float) -> bytes:
        """The output since the last call up to and including `text`, within `deadline` seconds.

        Raises:
            TimeoutError: the message has the end of the output.
            ConsoleEnded: the console was closed.
        """
        try:
            async with asyncio.timeout(deadline):
                while (found := self.seen.find(text, self._searched)) < 0:
                    await self.read()
        except TimeoutError as error:
            end = bytes(self.seen[-200:])
            raise TimeoutError(f"no {text!r} on the console within {deadline:.0f} s, it ends with {end!r}") from error
        start, self._searched = self._searched, found + len(text)
        return bytes(self.seen[start : self._searched])


async def _closed(connection: Any) -> None:
    """Wait until the connection's socket is closed: aiohttp closes it later, when the loop may have ended."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CLOSING):
            while connection is not None and connection.fileno() != -1:  # noqa: ASYNC110 - aiohttp offers nothing to wait for
                await asyncio.sleep(0.01)


async def show(kubeconfig: Path, namespace: str, name: str, seconds: float, until: str) -> int:
    """Copy the console to standard output for `seconds`, or until the text `until`. Returns 1 if it did not appear.

    An empty `until` is ignored. Errors and the console's end are reported on standard error.
    """
    wanted = until.encode()
    try:
        async with Console.open(kubeconfig, namespace, name) as console:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while not wanted or wanted not in console.seen:
                        sys.stdout.buffer.write(await console.read())
                        sys.stdout.buffer.flush()
            found = wanted in console.seen
    except (ConsoleRefused, ConsoleEnded, aiohttp.ClientError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    if not found:
        print(f"failed: no {until!r} on the console within {seconds:.0f} s", file=sys.stderr)
    return 0 if found else 1


async def _refusal(session: aiohttp.ClientSession, url: str, context: ssl.SSLContext | None) -> str:
    """The Status object's message, read by repeating the request."""
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
    }
    async with session.get(url, ssl=context or True, headers=headers) as response:
        if response.status == 101:
            return "refused at first and not the second time: try again"
        body = await response.read()
    with contextlib.suppress(ValueError):
        status = json.loads(body)
        if isinstance(status, dict) and "message" in status:
            return str(status["message"])
    return body[:500].decode(errors="replace").strip()


def credentials(kubeconfig: Path) -> tuple[str, ssl.SSLContext | None]:
    """The current context's server and how to speak TLS to it; None for plain HTTP."""
    config = yaml.safe_load(kubeconfig.read_text())
    context = _named(config["contexts"], config["current-context"])["context"]
    cluster = _named(config["clusters"], context["cluster"])["cluster"]
    user = _named(config["users"], context["user"])["user"]
    server: str = cluster["server"].rstrip("/")
    if server.startswith("http://"):
        return server, None
    tls = ssl.create_default_context(cadata=_pem(cluster, "certificate-authority", kubeconfig).decode())
    # Python loads a client's key from files only.
    with tempfile.NamedTemporaryFile() as leaf, tempfile.NamedTemporaryFile() as key:
        leaf.write(_pem(user, "client-certificate", kubeconfig))
        key.write(_pem(user, "client-key", kubeconfig))
        leaf.flush()
        key.flush()
        tls.load_cert_chain(leaf.name, key.name)
    return server, tls


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _pem(entry: dict[str, Any], field: str, kubeconfig: Path) -> bytes:
    if f"{field}-data" in entry:
        return base64.b64decode(entry[f"{field}-data"])
    if field in entry:
        return (kubeconfig.parent / str(entry[field])).read_bytes()
    raise ValueError(f"{kubeconfig}: {field} is missing, only kubeconfigs with client certificates are supported")
