"""The guest's half of a forwarded port: a TCP connection from here to the guest's address. Called by streams.py; needs
no handler."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from virt_core.rpc.errors import Unavailable

from virt_api.errors import ServiceUnavailable

_DIALING = 10.0  # seconds
_LINGERING = 10.0  # seconds for what was sent last to reach the guest after the user has left
_PIECE = 64 * 1024  # bytes read at once


class PortStream:
    """An open connection. One task reads, another writes."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.name = name
        self._reader = reader
        self._writer = writer

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, address: str, port: int, details: dict[str, str]) -> AsyncIterator[PortStream]:
        """A connection to the port; closed at the end of the block.

        Raises:
            ServiceUnavailable: nobody answers there.
        """
        name = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        try:
            async with asyncio.timeout(_DIALING):
                reader, writer = await asyncio.open_connection(address, port)
        except (OSError, TimeoutError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else f"no answer in {_DIALING:.0f} s"
            raise ServiceUnavailable(f"cannot connect to {name} of {details['name']}: {why}", details) from error
        try:
            # A guest that vanishes with its node says nothing; the connection ends all the same.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            yield cls(name, reader, writer)
        finally:
            writer.close()  # what was sent last still goes out; nobody waits for it
            if writer.transport.get_write_buffer_size():  # a guest that takes nothing would keep the connection
                asyncio.get_running_loop().call_later(_LINGERING, writer.transport.abort)

    async def read(self) -> bytes | None:
        """What the guest sends next, or None at its end.

        Raises:
            Unavailable: the connection broke.
        """
        try:
            return await self._reader.read(_PIECE) or None
        except OSError as error:
            raise Unavailable(f"{self.name}: {error.strerror or error}") from error

    async def write(self, data: bytes) -> bool:
        """Send, when there is room for it. False if the connection has ended: `read` knows how."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            return False
        return True

    async def end_input(self) -> None:
        """The user sends no more."""
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    async def drain(self, limit: float) -> None:
        """Wait, `limit` seconds at most, for the guest's end. The user has gone: nobody reads it."""
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(limit):
                while await self._reader.read(_PIECE):
                    pass
