"""Client of virt-handler's OpenConsole (handler/v1), for a console or display. Called by streams.py; knows no HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
from kubevirt.handler.v1 import handler_pb2, handler_pb2_grpc
from virt_core.rpc.error_status import from_rpc_error
from virt_core.rpc.errors import RpcError, Unavailable
from virt_core.rpc.peer import Peer

_OPENING = 5.0  # seconds for the handler to reach the guest's console
_IDLE = 25.0  # seconds; the handler sends a heartbeat every 10
_LARGEST = 32 * 1024  # bytes in one request; the contract allows 64 KiB


class ConsoleStream:
    """An open console, for a reading and a writing task."""

    def __init__(self, call: Any, name: str) -> None:
        self._call = call
        self.name = name

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, peer: Peer, request: handler_pb2.OpenConsoleRequest) -> AsyncIterator[ConsoleStream]:
        """Open the console in the first `request`, wait for the handler's confirmation; close it after the block.

        Raises:
            RpcError: the error of the handler or the transport.
        """
        await peer.negotiate()
        stub: Any = handler_pb2_grpc.HandlerServiceStub(peer.channel)
        # No deadline: the user decides how long a console is open. A silent stream is closed.
        call = stub.OpenConsole()
        stream = cls(call, peer.name)
        try:
            await stream._send(request)
            first = await stream._next(_OPENING)
            if first is None or first.WhichOneof("message") != "opened":
                raise Unavailable(f"{peer.name} did not open the console")
            yield stream
        finally:
            call.cancel()

    async def read(self) -> bytes | None:
        """The guest's next output; None at the end.

        Raises:
            Displaced: a newer console has replaced this one.
            Unavailable: the handler is gone or silent.
            RpcError: the handler's error.
        """
        while True:
            response = await self._next(_IDLE)
            if response is None:
                return None
            if response.WhichOneof("message") == "data" and response.data:
                data: bytes = response.data
                return data

    async def write(self, data: bytes) -> bool:
        """Send the user's input as soon as the flow control allows. False if the stream has ended: `read` raises
        why."""
        for start in range(0, len(data), _LARGEST):
            if not await self._send(handler_pb2.OpenConsoleRequest(data=data[start : start + _LARGEST])):
                return False
        return True

    async def end_input(self) -> None:
        """End the user's input. The handler ends the stream when it has forwarded all input."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self._call.done_writing()

    async def drain(self, limit: float) -> None:
        """Wait at most `limit` seconds until the handler ends the stream, and discard its output: the user has left."""
        with contextlib.suppress(TimeoutError, RpcError):
            async with asyncio.timeout(limit):
                while await self._next(limit) is not None:
                    pass

    async def _send(self, request: handler_pb2.OpenConsoleRequest) -> bool:
        try:
            await self._call.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return False
        return True

    async def _next(self, limit: float) -> handler_pb2.OpenConsoleResponse | None:
        try:
            async with asyncio.timeout(limit):
                response = await self._call.read()
        except TimeoutError as error:
            raise Unavailable(f"{self.name} has been silent for {limit:.0f} s") from error
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        if response is grpc.aio.EOF:
            return None
        assert isinstance(response, handler_pb2.OpenConsoleResponse)
        return response
