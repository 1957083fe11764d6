"""WebSockets of the page. Used by feed.py and relay.py."""

from __future__ import annotations

import weakref

from aiohttp import WSCloseCode, web

from virt_admin.ui.guard import SUBPROTOCOL

OPEN = web.AppKey("open", weakref.WeakSet[web.WebSocketResponse])
"""All of them, so that the end of virtadm ends them."""

_HEARTBEAT = 30.0  # seconds
_LONGEST_REASON = 123  # bytes, RFC 6455


async def opened(request: web.Request) -> web.WebSocketResponse:
    """The request's WebSocket. Not compressed: it does not leave this machine."""
    socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,), heartbeat=_HEARTBEAT, compress=False, max_msg_size=2**20)
    await socket.prepare(request)
    request.app[OPEN].add(socket)
    return socket


async def drain(socket: web.WebSocketResponse) -> None:
    """Read until it is closed; what it says is not for anybody."""
    async for _ in socket:
        pass


async def close(socket: web.WebSocketResponse, code: int, reason: str) -> None:
    """Close with a reason, as long as it may be."""
    text = reason.encode()
    if len(text) > _LONGEST_REASON:
        text = text[: _LONGEST_REASON - 3].decode(errors="ignore").encode() + "…".encode()
    await socket.close(code=code, message=text)


async def close_all(application: web.Application) -> None:
    """virtadm ends."""
    sockets = application[OPEN]
    for socket in list(sockets):
        await socket.close(code=WSCloseCode.GOING_AWAY, message=b"virtadm has ended")
