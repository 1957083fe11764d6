"""The handler's half of a console or display: OpenConsole of handler/v1. Called by streams.py; knows nothing of
HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
from kubevirt.handler.v1 import handler_pb2, handler_pb2_grpc
from virt_core.rpc.errors import RpcError, Unavailable, from_rpc_error
from virt_core.rpc.peer import Peer

_OPENING = 5.0  # seconds for the handler to reach the guest's console
_IDLE = 25.0  # seconds; the handler sends a heartbeat every 10
_LARGEST = 32 * 1024  # bytes in one request; the contract allows 64 KiB


class ConsoleStream:
    """An open console. One task reads, another writes."""

    def __init__(self, call: Any, name: str) -> None:
        self._call = call
        self.name = name

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, peer: Peer, request: handler_pb2.OpenConsoleRequest) -> AsyncIterator[ConsoleStream]:
        """What the first `request` names, once the handler has said that it is open; closed at the end of the block.

        Raises:
            RpcError: as the handler or the transport says.
        """
        await peer.negotiate()
        stub: Any = handler_pb2_grpc.HandlerServiceStub(peer.channel)
        # No deadline: a console is open for as long as its user wants. Silence ends it.
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
        """What the guest has written next, or None at the end.

        Raises:
            Displaced: a newer console took its place.
            Unavailable: the handler is gone or silent.
            RpcError: as the handler says.
        """
        while True:
            response = await self._next(_IDLE)
            if response is None:
                return None
            if response.WhichOneof("message") == "data" and response.data:
                data: bytes = response.data
                return data

    async def write(self, data: bytes) -> bool:
        """Send what the user typed, when there is room for it. False if the stream has ended: `read` knows why."""
        for start in range(0, len(data), _LARGEST):
            if not await self._send(handler_pb2.OpenConsoleRequest(data=data[start : start + _LARGEST])):
                return False
        return True

    async def end_input(self) -> None:
        """Say that the user types no more; the handler then ends the stream, once all that was typed is through."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self._call.done_writing()

    async def drain(self, limit: float) -> None:
        """Wait, `limit` seconds at most, for the handler's end of the stream. The user has gone: nobody reads it."""
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
