"""Small HTTP servers of controller, handler and operator: the plain port for the kubelet's probes, HEALTH_PATH with 200
when ready and 503 before; and what metrics/server.py serves by HTTPS.

The kubelet probes a starting container once a second, so a process that becomes ready right after a probe would count
as unready for another second. Therefore a probe that comes early is answered when the process is ready.

A few lines on asyncio, because a web framework for one answer would cost controller and handler 10 MB each.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from virt_core.conventions.component_pod import HEALTH_PATH

_LIMIT = 5.0  # seconds for a request to arrive and for its answer
_HOLD = 1.5  # seconds that an answer waits for readiness; the probes' timeout is two (virt_operator/strategy/pods.py)


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    status: str
    """Code and reason, for example "200 OK"."""

    body: bytes = b""
    content_type: str = ""


Pages: TypeAlias = Mapping[str, Callable[[], Awaitable[Page]]]
"""Pages by path."""


async def serve(port: int, until_ready: Callable[[], Awaitable[object]]) -> None:
    """Answer the kubelet's probes on all addresses until cancelled. `until_ready()` returns when the process is
    ready."""

    async def health() -> Page:
        return Page(await _status(until_ready))

    await serve_pages(port, {HEALTH_PATH: health})


async def serve_pages(port: int, pages: Pages, tls: ssl.SSLContext | None = None, seconds: float | None = None) -> None:
    """Answer with `pages` on all addresses until cancelled, within `seconds`; any other path is not found."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(seconds or _LIMIT):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(await _page(head, pages)))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client disconnected or does not speak HTTP: there is nobody to answer
        finally:
            writer.close()

    limit = _LIMIT if tls is not None else None
    server = await asyncio.start_server(
        answer, port=port, limit=16 * 1024, ssl=tls, ssl_handshake_timeout=limit, ssl_shutdown_timeout=limit
    )
    async with server:
        await server.serve_forever()


async def _page(head: bytes, pages: Pages) -> Page:
    target = head.split(b"\r\n", 1)[0].split(b" ")[1:2]
    path = target[0].partition(b"?")[0].decode(errors="replace") if target else ""
    page = pages.get(path)
    return await page() if page is not None else Page("404 Not Found")


def _response(page: Page) -> bytes:
    kind = f"Content-Type: {page.content_type}\r\n" if page.content_type else ""
    head = f"HTTP/1.1 {page.status}\r\n{kind}Content-Length: {len(page.body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + page.body


async def _status(until_ready: Callable[[], Awaitable[object]]) -> str:
    try:
        async with asyncio.timeout(_HOLD):
            await until_ready()
    except TimeoutError:
        return "503 Service Unavailable"
    return "200 OK"
