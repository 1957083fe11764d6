"""Relays a guest's serial console or display between the page and the API server. Called by app.py.

Each direction reads the next message only when the last one was written, so a slow side slows the other down. How the
stream has ended is the code and the reason with which the page's WebSocket is closed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from virt_core.conventions.subresources import STREAM_PROTOCOL
from virt_core.kube.client import KubeClient, WebSocket
from virt_core.kube.errors import KubeError

from virt_admin.ui.actions import stream_path
from virt_admin.ui.sockets import close, opened

_ENDED = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)
_LAST_WORD = 1.0  # seconds
REFUSED = 4000
"""The API server refuses the stream, or does not answer."""


@dataclass(frozen=True, slots=True)
class _End:
    code: int = WSCloseCode.OK
    reason: str = ""


async def relay(request: web.Request, client: KubeClient, namespace: str, name: str, stream: str) -> web.StreamResponse:
    """Carry bytes both ways until one side ends."""
    page, path = await opened(request), stream_path(namespace, name, stream)
    try:
        async with client.websocket(path, {}, STREAM_PROTOCOL) as guest:
            end = await _join(page, guest)
    except KubeError as error:
        end = _End(REFUSED, await _why(client, path, error))
    await close(page, end.code, end.reason)
    return page


async def _join(page: web.WebSocketResponse, guest: WebSocket) -> _End:
    up = asyncio.create_task(_up(page, guest), name="to the guest")
    down = asyncio.create_task(_down(guest, page), name="from the guest")
    try:
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        if not down.done() and up.result() != _End():
            await asyncio.wait({down}, timeout=_LAST_WORD)  # it may be about to say why
        return (down if down.done() else up).result()
    finally:
        up.cancel()
        down.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


async def _up(page: web.WebSocketResponse, guest: WebSocket) -> _End:
    try:
        while (message := await page.receive()).type not in _ENDED:
            await guest.send_bytes(_content(message))
    except OSError as error:
        return _broken(error)
    return _End()


async def _down(guest: WebSocket, page: web.WebSocketResponse) -> _End:
    try:
        while (message := await guest.receive()).type not in _ENDED:
            await page.send_bytes(_content(message))
    except OSError as error:
        return _broken(error)
    if message.type is WSMsgType.CLOSE:
        code = int(message.data or WSCloseCode.OK)
        return _End(code if code in _SENDABLE else WSCloseCode.OK, message.extra or "")
    return _End(WSCloseCode.INTERNAL_ERROR, "the connection to the API server broke")


def _content(message: WSMessage) -> bytes:
    return message.data if message.type is WSMsgType.BINARY else str(message.data).encode()


def _broken(error: OSError) -> _End:
    return _End(WSCloseCode.INTERNAL_ERROR, f"the connection broke: {error}")


_SENDABLE = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011)
"""Codes that an endpoint may send; others are only for reports, such as 1006."""


async def _why(client: KubeClient, path: str, error: KubeError) -> str:
    """The API server's sentence. The transport drops the body of a refused WebSocket, so it is asked once more."""
    if not error.status:
        return str(error)
    try:
        await client.raw(path)
    except KubeError as second:
        return second.message or str(second)
    return str(error)
