"""The readiness probe as the kubelet sends it, and Prometheus' request, to a process of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl

METRICS = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
INSECURE = ssl.create_default_context()
INSECURE.check_hostname = False
INSECURE.verify_mode = ssl.CERT_NONE  # as Prometheus with insecureSkipVerify

# Below the ports that Linux and Kubernetes give to whoever asks (ip_local_port_range, NodePorts): one of those may be
# taken by a connection of another test before the process listens.
_PORTS = random.sample(range(15_000, 29_000), 14_000)


def free_port() -> int:
    """A port of the loopback address that nobody listens on. No process gets the same one twice."""
    while True:
        number = _PORTS.pop()
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", number))
            return number


async def ask(
    port: int,
    request: bytes = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    address: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> bytes:
    """The answer of the process, as soon as it listens."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(address, port, ssl=tls)
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0)
    writer.write(request)
    if tls is None:
        writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
