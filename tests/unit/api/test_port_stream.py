"""A forwarded port: what was sent last arrives, and a guest that takes nothing keeps no connection."""

from __future__ import annotations

import asyncio
import socket

import pytest
from virt_api.subresources import port_stream
from virt_api.subresources.port_stream import PortStream

from tests.support.patience import PATIENCE

MUCH = bytes(8 << 20)  # more than the kernel buffers


async def test_a_guest_that_takes_nothing_keeps_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_stream, "_LINGERING", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as guest:
        guest.setblocking(False)
        async with PortStream.open("127.0.0.1", guest.getsockname()[1], {"name": "demo"}) as stream:
            writing = asyncio.create_task(stream.write(MUCH))
            connection, _ = await asyncio.get_running_loop().sock_accept(guest)
            await asyncio.sleep(0)  # the input waits for the guest
            writing.cancel()
        with connection:
            async with asyncio.timeout(PATIENCE):
                await stream._writer.wait_closed()


async def test_what_was_sent_last_arrives() -> None:
    received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.set_result(await reader.read())
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        async with PortStream.open("127.0.0.1", server.sockets[0].getsockname()[1], {"name": "demo"}) as stream:
            writing = asyncio.create_task(stream.write(MUCH))
            await asyncio.sleep(0)
            writing.cancel()
        async with asyncio.timeout(PATIENCE):
            assert await received == MUCH
