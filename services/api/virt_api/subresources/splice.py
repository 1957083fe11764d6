"""Connects a user's websocket to a stream of bytes: a guest's console, display or port. Called by streams.py with an
open stream.

The protocol is KubeVirt's: subprotocol plain.kubevirt.io if the client offers it, raw bytes in binary messages in both
directions. Each direction is a loop that reads the next chunk only when the last one was written, so a slow side slows
the other down instead of filling memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Protocol

import aiohttp
from aiohttp import WSCloseCode, WSMsgType, web
from virt_core.conventions.subresources import STREAM_PROTOCOL
from virt_core.rpc import errors as rpc_errors

_LARGEST_FRAME = 10240  # bytes, the buffer size of KubeVirt's clients
_LARGEST_MESSAGE = 1024 * 1024  # bytes per message from a client
_PING = 25.0  # seconds; keeps proxies from closing an idle connection
_FINISHING = 1.0  # seconds for the last input to reach the guest
CLOSING = 5.0  # seconds for a client to complete the closing handshake


class Stream(Protocol):
    """The guest's side, for a reading and a writing task."""

    async def read(self) -> bytes | None:
        """The next bytes; None at the end. Raises RpcError."""

    async def write(self, data: bytes) -> bool:
        """Send the bytes as soon as flow control allows. False if the stream has ended: `read` raises why."""

    async def end_input(self) -> None:
        """End the input."""

    async def drain(self, limit: float) -> None:
        """Wait at most `limit` seconds for the end of the other side, and discard its output."""


@dataclass(frozen=True, slots=True)
class End:
    """Close code and reason for the client (RFC 6455, 7.4)."""

    code: int = WSCloseCode.OK
    reason: str = ""


async def splice(request: web.Request, stream: Stream, stopping: asyncio.Event) -> tuple[web.WebSocketResponse, End]:
    """Upgrade the request and carry bytes both ways until one side ends, or `stopping`."""
    socket = web.WebSocketResponse(protocols=(STREAM_PROTOCOL,), compress=False, max_msg_size=_LARGEST_MESSAGE)
    await socket.prepare(request)
    end = await _join(socket, stream, stopping)
    await _close(socket, end)
    return socket, end


async def _join(socket: web.WebSocketResponse, stream: Stream, stopping: asyncio.Event) -> End:
    """Forward bytes in both directions until a side or this process ends. Returns how it ended.

    Only the caller closes the socket. Closed from another task, the connection would be torn down before the client
    answers the close frame, and clients would not see the reason.
    """
    async with asyncio.TaskGroup() as group:
        pings = group.create_task(_ping(socket), name="splice: pings")
        typed = group.create_task(_to_guest(socket, stream), name="splice: to the guest")
        shown = group.create_task(_to_client(socket, stream), name="splice: to the client")
        leaving = group.create_task(stopping.wait(), name="splice: end of the process")
        # A client that leaves while the guest takes no input is noticed by the pings only: nobody reads from it.
        await asyncio.wait((typed, shown, leaving, pings), return_when=asyncio.FIRST_COMPLETED)
        if shown.done() and (stream_end := shown.result()) is not None:
            end = stream_end
        elif leaving.done():
            end = End(WSCloseCode.GOING_AWAY, "virt-api is stopping, connect again")
        else:
            end = await _client_left(typed, shown, stream)
        for task in (pings, typed, shown, leaving):
            task.cancel()
    return end


async def _client_left(typed: asyncio.Task[End | None], shown: asyncio.Task[End | None], stream: Stream) -> End:
    """The client closes or is gone: forward its last input to the guest. Returns how the connection ended."""
    await asyncio.wait((typed,), timeout=_FINISHING)
    if not typed.done():
        return End()  # the guest does not take its input
    end = typed.result()
    if end is None:
        # The guest's side has ended; the reading task has the reason.
        return await shown or End()
    await stream.end_input()
    # Cancelling the read would cancel the stream, and lose the last input.
    await asyncio.wait((shown,), timeout=_FINISHING)
    if shown.done():
        await stream.drain(_FINISHING)
    return end


async def _to_client(socket: web.WebSocketResponse, stream: Stream) -> End | None:
    """How the guest's side ended; None if the client is gone."""
    try:
        while (data := await stream.read()) is not None:
            for start in range(0, len(data), _LARGEST_FRAME):
                await socket.send_bytes(data[start : start + _LARGEST_FRAME])
    except rpc_errors.Displaced:
        return End(WSCloseCode.POLICY_VIOLATION, "displaced: a newer client has taken this place")
    except rpc_errors.RpcError as error:
        return End(WSCloseCode.INTERNAL_ERROR, f"the connection ended: {error.message}")
    except (aiohttp.ClientError, ConnectionError):
        return None
    return End()


async def _to_guest(socket: web.WebSocketResponse, stream: Stream) -> End | None:
    async for message in socket:  # ends when the client closes or is gone
        # Anything but binary is ignored, as KubeVirt does.
        if message.type is WSMsgType.BINARY and not await stream.write(message.data):
            return None
    return End()


async def _ping(socket: web.WebSocketResponse) -> None:
    """Send pings without requiring pongs: a paused terminal does not read, but is alive. Returns when the client is
    gone."""
    with contextlib.suppress(aiohttp.ClientError, ConnectionError):
        while True:
            await asyncio.sleep(_PING)
            await socket.ping()


async def _close(socket: web.WebSocketResponse, end: End) -> None:
    reason = end.reason.encode()[:123].decode(errors="ignore").encode()  # a control frame holds 125 bytes
    with contextlib.suppress(TimeoutError, aiohttp.ClientError, ConnectionError):
        async with asyncio.timeout(CLOSING):
            await socket.close(code=end.code, message=reason)
