"""A port of a pod through the API server, by a WebSocket, as `kubectl port-forward` does. Called by replica.py.

It listens on a socket in a folder that only this user may enter. Each connection there is a WebSocket of its own
(protocol "v4.channel.k8s.io"): a binary message is a channel's number and data; channel 0 has the port's bytes,
channel 1 the error; the first message of each channel is the port's number.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

from virt_core.kube.client import KubeClient, WebSocket
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import PODS

_PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1
_PORT_BYTES = 2
_CHUNK = 32 * 1024


@dataclass(slots=True)
class Forward:
    """An open port of a pod."""

    client: KubeClient
    path: str
    """Of the pod's subresource."""

    port: int
    target: str
    """For gRPC."""

    problem: str = ""
    """Why the last connection failed; "" if none did."""

    tasks: set[asyncio.Task[None]] = field(default_factory=set)


@contextlib.asynccontextmanager
async def forwarded(client: KubeClient, namespace: str, pod: str, port: int) -> AsyncIterator[Forward]:
    """While it is open, connections to its target reach the pod's port."""
    with TemporaryDirectory(prefix="virtadm-") as folder:
        path = f"{folder}/socket"
        forward = Forward(client, PODS.path(namespace, pod, "portforward"), port, f"unix:{path}")

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(_connect(forward, reader, writer), name=f"port-forward to {pod}")
            forward.tasks.add(task)
            task.add_done_callback(forward.tasks.discard)
            task.add_done_callback(lambda _: writer.close())  # one that is cancelled before it begins, too

        server = await asyncio.start_unix_server(accept, path)
        try:
            yield forward
        finally:
            server.close()
            tasks = list(forward.tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _connect(forward: Forward, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with forward.client.websocket(forward.path, {"ports": str(forward.port)}, _PROTOCOL) as socket:
            sending = asyncio.create_task(_send(reader, socket), name="port-forward, upwards")
            try:
                await _receive(forward, socket, writer)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
    except KubeError as error:
        forward.problem = str(error)
    except OSError as error:
        forward.problem = f"the connection broke: {error}"


async def _send(reader: asyncio.StreamReader, socket: WebSocket) -> None:
    while chunk := await reader.read(_CHUNK):
        await socket.send_bytes(bytes([_DATA]) + chunk)
    await socket.close()


async def _receive(forward: Forward, socket: WebSocket, writer: asyncio.StreamWriter) -> None:
    begun: set[int] = set()
    async for message in socket:
        if not isinstance(message.data, bytes) or not message.data:
            continue
        channel, content = message.data[0], message.data[1:]
        if channel not in begun:
            begun.add(channel)
            content = content[_PORT_BYTES:]
        if channel == _ERROR and content:
            forward.problem = content.decode(errors="replace")
        elif channel == _DATA and content:
            writer.write(content)
            await writer.drain()
