"""A user's websocket and a guest's stream: the connection ends with its client, whatever the guest does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from virt_api.subresources import splice

from tests.support.patience import PATIENCE


class SilentGuest:
    """A guest that takes no input and says nothing. `typed` is set when it has input."""

    def __init__(self) -> None:
        self.typed = asyncio.Event()

    async def read(self) -> bytes | None:
        await asyncio.Event().wait()
        return None

    async def write(self, data: bytes) -> bool:
        del data
        self.typed.set()
        await asyncio.Event().wait()
        return True

    async def end_input(self) -> None:
        await asyncio.Event().wait()  # as gRPC's, behind input that nobody takes

    async def drain(self, limit: float) -> None:
        await asyncio.sleep(limit)


@asynccontextmanager
async def served(guest: SilentGuest, ended: asyncio.Event) -> AsyncIterator[str]:
    """The URL of a websocket to the guest; `ended` is set when its connection has ended."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            socket, _ = await splice.splice(request, guest, asyncio.Event())
            return socket
        finally:
            ended.set()

    application = web.Application()
    application.router.add_get("/", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def closed(client: aiohttp.ClientWebSocketResponse) -> None:
    await client.close()


async def vanished(client: aiohttp.ClientWebSocketResponse) -> None:
    connection = client._response.connection
    assert connection is not None and connection.transport is not None
    connection.transport.abort()


@pytest.mark.parametrize("leave", [closed, vanished])
async def test_a_client_that_leaves_while_the_guest_takes_no_input_is_noticed(
    leave: Callable[[aiohttp.ClientWebSocketResponse], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splice, "_PING", 0.3)  # longer than a client waits for the end
    monkeypatch.setattr(splice, "_FINISHING", 0.05)
    guest, ended = SilentGuest(), asyncio.Event()
    async with served(guest, ended) as url, aiohttp.ClientSession() as session:
        client = await session.ws_connect(url, timeout=aiohttp.ClientWSTimeout(ws_close=0.1))
        await client.send_bytes(b"input")
        await guest.typed.wait()
        await leave(client)
        async with asyncio.timeout(PATIENCE):
            await ended.wait()
