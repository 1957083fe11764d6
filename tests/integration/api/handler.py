"""A handler over real mTLS, with guests that echo in capitals, served by virt_core.rpc.server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from kubevirt.handler.v1 import handler_pb2, handler_pb2_grpc
from kubevirt.info.v1 import info_pb2
from kubevirt.launcher.v1 import command_pb2, guest_pb2, launcher_pb2
from virt_core.rpc.authorize import require_component
from virt_core.rpc.errors import Displaced, NotFound, Refused
from virt_core.rpc.identity import Identity
from virt_core.rpc.server import create_server
from virt_core.rpc.tls import Certificates

DETAILS = launcher_pb2.GetGuestDetailsResponse(
    agent=guest_pb2.GuestAgent(version="9.2", hostname="box"), users=[guest_pb2.GuestUser(name="debian")]
)
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(5 * 1024 * 1024)  # more than gRPC takes unless told
OPENED = handler_pb2.OpenConsoleResponse(opened=handler_pb2.Opened())


class Handler(handler_pb2_grpc.HandlerServiceServicer):
    """Says "EOF" is its end, "FLOOD" is much, "HEARTBEAT" is nothing; everything else comes back in capitals."""

    def __init__(self) -> None:
        self.targets: list[handler_pb2.VirtualMachineInstanceRef] = []
        self.devices: list[int] = []
        self.commands: list[command_pb2.Command] = []
        self.refusal: Exception | None = None
        self.typed = b""
        self._holder: asyncio.Event | None = None
        self._server: grpc.aio.Server | None = None
        self.ended = asyncio.Event()

    async def start(self, certificates: Path) -> int:
        """The port."""
        server = create_server(Identity.for_process(info_pb2.COMPONENT_HANDLER, ("kubevirt.handler.v1",)))
        handler_pb2_grpc.add_HandlerServiceServicer_to_server(self, server)
        port = server.add_secure_port("127.0.0.1:0", Certificates(certificates).server_credentials())
        await server.start()
        self._server = server
        return port

    async def stop(self) -> None:
        assert self._server is not None
        await self._server.stop(None)

    async def CommandMachine(  # noqa: N802 - the contract's name
        self, request: handler_pb2.CommandMachineRequest, context: Any
    ) -> handler_pb2.CommandMachineResponse:
        require_component(context, {"virt-api"})
        if self.refusal is not None:
            raise self.refusal
        self.targets.append(request.target)
        self.commands.append(request.command)
        return handler_pb2.CommandMachineResponse()

    async def GetGuestDetails(  # noqa: N802 - the contract's name
        self, request: handler_pb2.GetGuestDetailsRequest, context: Any
    ) -> handler_pb2.GetGuestDetailsResponse:
        require_component(context, {"virt-api"})
        self.targets.append(request.target)
        return handler_pb2.GetGuestDetailsResponse(details=DETAILS)

    async def TakeScreenshot(  # noqa: N802 - the contract's name
        self, request: handler_pb2.TakeScreenshotRequest, context: Any
    ) -> handler_pb2.TakeScreenshotResponse:
        require_component(context, {"virt-api"})
        self.targets.append(request.target)
        return handler_pb2.TakeScreenshotResponse(png=PICTURE)

    async def OpenConsole(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[handler_pb2.OpenConsoleRequest], context: Any
    ) -> AsyncIterator[handler_pb2.OpenConsoleResponse]:
        require_component(context, {"virt-api"})
        first = await anext(request_iterator)
        if first.target.name == "unknown":
            raise NotFound("no such guest on this node")
        if self._holder is not None and first.preserve_older:
            raise Refused("somebody looks at this display", reason="IN_USE")
        self.targets.append(first.target)
        self.devices.append(first.device)
        if self._holder is not None:
            self._holder.set()
        displaced = self._holder = asyncio.Event()
        yield OPENED
        try:
            while True:
                typed = asyncio.ensure_future(anext(request_iterator, None))
                leaving = asyncio.ensure_future(displaced.wait())
                done, _ = await asyncio.wait((typed, leaving), return_when=asyncio.FIRST_COMPLETED)
                if leaving in done:
                    typed.cancel()
                    raise Displaced("a newer console")
                leaving.cancel()
                request = typed.result()
                if request is None or request.data == b"EOF":
                    return
                self.typed += request.data
                if request.data == b"FLOOD":
                    for _ in range(64):
                        yield handler_pb2.OpenConsoleResponse(data=b"x" * 60_000)
                elif request.data == b"HEARTBEAT":
                    yield handler_pb2.OpenConsoleResponse(heartbeat=handler_pb2.Heartbeat())
                else:
                    yield handler_pb2.OpenConsoleResponse(data=request.data.upper())
        finally:
            self.ended.set()
