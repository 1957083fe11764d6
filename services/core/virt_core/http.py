"""The HTTP port of controller, handler and operator: HEALTH_PATH for the kubelet's probes, 200 when ready, 503 before;
METRICS_PATH for Prometheus, where the process has metrics.

The kubelet probes a starting container once a second, so a process that becomes ready right after a probe would count
as unready for another second. Therefore a probe that comes early is answered when the process is ready.

A few lines on asyncio, because a web framework for one answer would cost controller and handler 10 MB each.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from virt_core.conventions.component_pod import HEALTH_PATH, METRICS_PATH

_LIMIT = 5.0  # seconds for a request to arrive and for its answer
_FRESH, _REST = 5.0, 20  # seconds between two measurements, and how many times as long as one takes
_HOLD = 1.5  # seconds that an answer waits for readiness; the probes' timeout is two (virt_operator/strategy/pods.py)


class Metrics:
    """The text of `measure`, which is called now and then: the port asks nobody who he is, and while the metrics of a
    big cluster are written, nothing else is done. `clock` is in seconds."""

    def __init__(self, measure: Callable[[], str], clock: Callable[[], float]) -> None:
        self._measure = measure
        self._clock = clock
        self._body = b""
        self._fresh_until = -math.inf

    def body(self) -> bytes:
        """The answer's."""
        began = self._clock()
        if began >= self._fresh_until:
            self._body = self._measure().encode()
            ended = self._clock()
            self._fresh_until = ended + max(_FRESH, _REST * (ended - began))
        return self._body


async def serve(
    port: int, until_ready: Callable[[], Awaitable[object]], metrics: Callable[[], str] | None = None
) -> None:
    """Answer on all addresses until cancelled; any other path is not found. `until_ready()` returns when the process is
    ready, `metrics()` Prometheus' text format."""
    measured = Metrics(metrics, asyncio.get_running_loop().time) if metrics is not None else None

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_LIMIT):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await _answer(head, until_ready, measured))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client disconnected or does not speak HTTP: there is nobody to answer
        finally:
            writer.close()

    server = await asyncio.start_server(answer, port=port, limit=16 * 1024)
    async with server:
        await server.serve_forever()


async def _answer(head: bytes, until_ready: Callable[[], Awaitable[object]], metrics: Metrics | None) -> bytes:
    target = head.split(b"\r\n", 1)[0].split(b" ")[1:2]
    path = target[0].partition(b"?")[0].decode(errors="replace") if target else ""
    if path == METRICS_PATH and metrics is not None:
        return _response("200 OK", metrics.body(), "Content-Type: text/plain; version=0.0.4\r\n")
    return _response(await _status(until_ready) if path == HEALTH_PATH else "404 Not Found")


def _response(status: str, body: bytes = b"", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\n{more}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


async def _status(until_ready: Callable[[], Awaitable[object]]) -> str:
    try:
        async with asyncio.timeout(_HOLD):
            await until_ready()
    except TimeoutError:
        return "503 Service Unavailable"
    return "200 OK"
