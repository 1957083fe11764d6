"""An API server with guests: commands are noted, a serial console answers, a display shows two colours."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web
from virt_core.testing.api_server import FakeApiServer

GROUP = "/apis/subresources.kubevirt.io/"
PROTOCOL = "plain.kubevirt.io"
BANNER = b"ready\r\n$ "
LEFT, RIGHT = (200, 30, 40), (20, 60, 210)
WIDTH, HEIGHT = 64, 48
_LENGTHS: dict[int, Callable[[bytes], int]] = {
    0: lambda _: 20,  # SetPixelFormat
    2: lambda head: 4 + 4 * int.from_bytes(head[2:4], "big"),  # SetEncodings
    3: lambda _: 10,  # FramebufferUpdateRequest
    4: lambda _: 8,  # KeyEvent
    5: lambda _: 6,  # PointerEvent
    6: lambda head: 8 + int.from_bytes(head[4:8], "big"),  # ClientCutText
}


class GuestServer(FakeApiServer):
    """Make it with `running`."""

    def __init__(self) -> None:
        super().__init__()
        self.commands: list[tuple[str, Any]] = []
        """Paths below the group, and bodies, of the subresources that were called."""
        self.refusal = ""
        """Why every subresource is refused."""
        self.code = 409
        """The status of a refusal."""
        self.protocols: list[str] = []
        """That clients of streams offered."""
        self.on_metrics: Callable[[], str] = lambda: ""
        """The metrics of every virt-handler."""
        self.proxied: list[str] = []
        """Paths of requests that the API server passes on to pods."""
        self.farewell = (1000, b"")
        """Code and reason with which a console ends, when its user types "exit"."""
        self.on_command: Callable[[str], None] = lambda _path: None
        """Called with the path of each command."""

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/proxy/metrics"):
            self.proxied.append(request.path)
            return web.Response(text=self.on_metrics())
        if not request.path.startswith(GROUP):
            return await super()._answer(request)
        path = request.path.removeprefix(GROUP)
        if self.refusal:
            return web.json_response({"message": self.refusal, "reason": "Conflict"}, status=self.code)
        if request.method == "PUT":
            self.commands.append((path, json.loads(await request.read())))
            self.on_command(path)
            return web.Response(status=202)
        self.protocols.append(request.headers["Sec-WebSocket-Protocol"])
        socket = web.WebSocketResponse(protocols=(PROTOCOL,))
        await socket.prepare(request)
        if path.endswith("/console"):
            await self._console(socket)
        else:
            await _display(socket)
        return socket

    async def _console(self, socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(BANNER)
        line = bytearray()
        async for message in socket:
            assert message.type is WSMsgType.BINARY
            await socket.send_bytes(message.data.replace(b"\r", b"\r\n"))
            line += message.data
            if line == b"exit\r":
                code, reason = self.farewell
                await socket.close(code=code, message=reason)
            elif line.endswith(b"\r"):
                await socket.send_bytes(b"answer to " + bytes(line[:-1]) + b"\r\n$ ")
                line.clear()


async def _display(socket: web.WebSocketResponse) -> None:
    """RFB 3.8 without authentication (RFC 6143)."""
    received = bytearray()

    async def take(count: int) -> bytes:
        while len(received) < count:
            received.extend(await socket.receive_bytes())
        taken = bytes(received[:count])
        del received[:count]
        return taken

    try:
        await socket.send_bytes(b"RFB 003.008\n")
        await take(12)
        await socket.send_bytes(b"\x01\x01")
        await take(1)
        await socket.send_bytes(bytes(4))
        await take(1)
        shifts = (16, 8, 0)
        form = struct.pack(">BBBBHHHBBB3x", 32, 24, 0, 1, 255, 255, 255, *shifts)
        await socket.send_bytes(struct.pack(">HH", WIDTH, HEIGHT) + form + struct.pack(">I", 4) + b"fake")
        while True:
            head = await take(1)
            if head[0] in (2, 6):
                head += await take(3 if head[0] == 2 else 7)
            message = head + await take(_LENGTHS[head[0]](head) - len(head))
            if head[0] == 0:
                shifts = struct.unpack(">BBB", message[14:17])
            elif head[0] == 3 and not message[1]:  # the whole picture, which does not change
                await socket.send_bytes(_picture(shifts))
    except (TypeError, ConnectionError, asyncio.CancelledError):  # the client has gone
        return


def _picture(shifts: tuple[int, ...]) -> bytes:
    def pixel(colour: tuple[int, int, int]) -> bytes:
        return sum(part << shift for part, shift in zip(colour, shifts, strict=True)).to_bytes(4, "little")

    row = pixel(LEFT) * (WIDTH // 2) + pixel(RIGHT) * (WIDTH // 2)
    return struct.pack(">BxHHHHHi", 0, 1, 0, 0, WIDTH, HEIGHT, 0) + row * HEIGHT
