"""A user's websocket joined to a stream of bytes: a guest's console, its display or one of its ports. Called by
streams.py with a stream that is open already.

The protocol is KubeVirt's: subprotocol plain.kubevirt.io if it is offered, raw bytes in binary messages both ways. Each
direction is one loop that takes the next piece only when the last one found room, so a slow side slows the other
instead of filling memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Protocol

import aiohttp
from aiohttp import WSCloseCode, WSMsgType, web
from virt_core.rpc import errors as rpc_errors

SUBPROTOCOL = "plain.kubevirt.io"
_LARGEST_FRAME = 10240  # bytes, as KubeVirt's clients read them
_LARGEST_MESSAGE = 1024 * 1024  # bytes taken from a client at once
_PING = 25.0  # seconds; keeps proxies on the way from calling the connection idle
_FINISHING = 1.0  # seconds for what was typed last to reach the guest
CLOSING = 5.0  # seconds for a client to take part in closing


class Stream(Protocol):
    """The guest's side. One task reads, another writes."""

    async def read(self) -> bytes | None:
        """What comes next, None at the end. Raises RpcError."""

    async def write(self, data: bytes) -> bool:
        """Send when there is room. False if the stream has ended: `read` knows why."""

    async def end_input(self) -> None:
        """Nothing more will be written."""

    async def drain(self, limit: float) -> None:
        """Wait, `limit` seconds at most, for the other side's end. Nobody reads what still comes."""


@dataclass(frozen=True, slots=True)
class End:
    """How to say to the client that it is over (RFC 6455, 7.4)."""

    code: int = WSCloseCode.OK
    reason: str = ""


async def splice(request: web.Request, stream: Stream, stopping: asyncio.Event) -> tuple[web.WebSocketResponse, End]:
    """Upgrade the request and carry bytes both ways until one side ends, or `stopping`."""
    socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,), compress=False, max_msg_size=_LARGEST_MESSAGE)
    await socket.prepare(request)
    end = await _join(socket, stream, stopping)
    await _close(socket, end)
    return socket, end


async def _join(socket: web.WebSocketResponse, stream: Stream, stopping: asyncio.Event) -> End:
    """Carry bytes both ways until one side ends, or this process; how it ended.

    The socket is closed by the caller alone: closed from another task, it would be torn down before its close frame
    is answered, and clients would miss the reason.
    """
    async with asyncio.TaskGroup() as group:
        pings = group.create_task(_ping(socket), name="splice: pings")
        typed = group.create_task(_to_guest(socket, stream), name="splice: to the guest")
        shown = group.create_task(_to_client(socket, stream), name="splice: to the client")
        leaving = group.create_task(stopping.wait(), name="splice: end of the process")
        await asyncio.wait((typed, shown, leaving), return_when=asyncio.FIRST_COMPLETED)
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
    """The client closes or is gone: what it typed last still goes to the guest. How it ended."""
    await asyncio.wait((typed,), timeout=_FINISHING)  # a guest that takes nothing is not waited for
    end = typed.result() if typed.done() else End()
    if end is None:
        # The guest's side has ended, and its reader knows how.
        return await shown or End()
    await stream.end_input()
    # A read that is cancelled would cancel the stream, and what was typed last with it.
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
    """Pings without insisting on answers: a terminal that is paused reads nothing, and lives."""
    with contextlib.suppress(aiohttp.ClientError, ConnectionError):
        while True:
            await asyncio.sleep(_PING)
            await socket.ping()


async def _close(socket: web.WebSocketResponse, end: End) -> None:
    reason = end.reason.encode()[:123].decode(errors="ignore").encode()  # a control frame holds 125 bytes
    with contextlib.suppress(TimeoutError, aiohttp.ClientError, ConnectionError):
        async with asyncio.timeout(CLOSING):
            await socket.close(code=end.code, message=reason)
