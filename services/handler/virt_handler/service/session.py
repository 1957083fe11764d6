"""One open console: the connection to the guest's serial socket, and the way it ends.

Made by consoles.py. Nothing is buffered beyond one read each way: whoever is slow slows the other side down.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import Any

from virt_core.conventions.labels import LAUNCHER_UID
from virt_core.rpc.errors import Displaced, RpcError, Unavailable

from virt_handler.launchers.peer_process import connect

CHUNK = 64 * 1024  # bytes, the contract's limit
_CLOSING = 1.0  # seconds
_UCRED = struct.Struct("iII")


class Session:
    """Make it with `open`; `close` it in the end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ended: asyncio.Future[RpcError | None] = asyncio.get_running_loop().create_future()
        self._reading: asyncio.Task[bytes] | None = None

    @classmethod
    async def open(cls, socket_fd: int) -> Session:
        """Connect to the serial socket behind an O_PATH descriptor, which is closed here.

        Raises:
            Unavailable: the hypervisor does not listen, or it is not the launcher's user who does.
        """
        try:
            connection = connect(socket_fd)
        except OSError as error:
            raise Unavailable(f"the serial console does not answer: {error}") from error
        finally:
            os.close(socket_fd)
        if not _is_launchers(connection):
            connection.close()
            raise Unavailable("the serial console's socket is not listened on by the launcher's user")
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=CHUNK)
        return cls(reader, writer)

    @property
    def ended(self) -> bool:
        """Whether the caller has ended it, or was displaced."""
        return self._ended.done()

    async def read(self, timeout: float) -> bytes | None:
        """Bytes from the guest; b"" at the end of the console; None if nothing happened for `timeout` seconds.

        Raises:
            Displaced: a newer caller has the console.
        """
        if self._reading is None:
            self._reading = asyncio.create_task(self._reader.read(CHUNK), name="console reader")
        awaited: set[asyncio.Future[Any]] = {self._reading, self._ended}
        await asyncio.wait(awaited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if self._ended.done():
            error = self._ended.result()
            if error is not None:
                raise error
            return b""
        if not self._reading.done():
            return None
        reading, self._reading = self._reading, None
        try:
            return reading.result()
        except OSError:  # the hypervisor went away
            return b""

    async def write(self, data: bytes) -> None:
        """Bytes for the guest; waits while the guest does not take them."""
        self._writer.write(data)
        await self._writer.drain()

    def end(self) -> None:
        """The caller has nothing more to say and wants nothing more."""
        self._finish(None)

    def displace(self) -> None:
        """A newer caller takes the console: its port is free at once, even if this session's caller is stuck."""
        self._finish(Displaced("a newer client has opened this console"))
        self._writer.transport.abort()

    async def close(self) -> None:
        """Release the guest's serial port, which has one client at a time."""
        # What was typed last may still be on its way. The hypervisor drops what it has not read yet when the other end
        # is closed, but not when it is only shut for writing: then it reads to the end and closes by itself. A guest
        # that takes nothing is not waited for.
        try:
            async with asyncio.timeout(_CLOSING):
                if self._reading is not None:
                    self._reading.cancel()
                    await asyncio.wait([self._reading])
                    self._reading = None
                self._writer.write_eof()
                while await self._reader.read(CHUNK):
                    pass
        except (TimeoutError, OSError, RuntimeError):
            pass  # RuntimeError: the transport is closed already
        finally:
            self._writer.transport.abort()

    def _finish(self, error: RpcError | None) -> None:
        if not self._ended.done():
            self._ended.set_result(error)


def _is_launchers(connection: socket.socket) -> bool:
    _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return bool(uid == LAUNCHER_UID)
