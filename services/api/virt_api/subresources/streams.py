"""The subresources "console", "vnc" and "portforward", which connect a user's websocket to a stream. Called by
served.py.

All errors are reported before the upgrade, as a Status object. So the stream to the handler or to the guest's port is
open before the client receives "101".
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

from aiohttp import web
from kubevirt.handler.v1 import handler_pb2
from virt_core import logs
from virt_core.kube.client import KubeClient
from virt_core.rpc import errors as rpc_errors

from virt_api import errors
from virt_api.subresources.call import Call
from virt_api.subresources.connections import Connections
from virt_api.subresources.console_stream import ConsoleStream
from virt_api.subresources.guest import Guest, read_guest
from virt_api.subresources.handler_errors import from_rpc
from virt_api.subresources.handler_pods import HandlerPods
from virt_api.subresources.port_stream import PortStream
from virt_api.subresources.splice import Stream, splice
from virt_api.subresources.virtual_machine import read_started_guest

_IN_USE = "IN_USE"  # ErrorInfo reason of handler/v1
_TRUE = ("1", "t", "T", "true", "True", "TRUE")  # as Go reads a boolean
_log = logs.bound("virt_api.subresources.streams")


class NamedStream(Stream, Protocol):
    """A stream with the name of its peer."""

    name: str


class Streams:
    """All open streams of this process."""

    def __init__(self, client: KubeClient, handlers: HandlerPods) -> None:
        self._client = client
        self._handlers = handlers
        self._stopping = asyncio.Event()
        self.connections = Connections()

    async def serve(self, request: web.Request, call: Call) -> web.WebSocketResponse:
        """Connect `request` to the stream of `call`, until either side ends.

        Raises:
            ApiError: before the upgrade.
        """
        if request.headers.get("Upgrade", "").lower() != "websocket":
            raise errors.BadRequest(f"{call.resource}/{call.subresource} is a websocket", call.details)
        port = port_of(call) if call.subresource == "portforward" else 0
        of_vm = call.resource == "virtualmachines"
        guest = await (read_started_guest if of_vm else read_guest)(self._client, call)
        meta = guest.metadata
        log = _log.bind(namespace=meta.namespace, name=meta.name, uid=meta.uid, node=guest.status.node_name)
        async with self._opened(request, call, guest, port) as stream:
            log.info(f"opening {call.subresource}", peer=stream.name)
            with self.connections.counted(call.subresource, (meta.namespace, meta.name)):
                socket, end = await splice(request, stream, self._stopping)
            log.info(f"closing {call.subresource}", code=end.code, reason=end.reason)
        return socket

    def stop(self) -> None:
        """End every stream within splice.CLOSING seconds, with a message to its client."""
        self._stopping.set()

    def _opened(
        self, request: web.Request, call: Call, guest: Guest, port: int
    ) -> contextlib.AbstractAsyncContextManager[NamedStream]:
        if port:
            return PortStream.open(guest.require_address(call.details), port, call.details)
        if call.subresource == "console":
            guest.require_stream("serial console", "autoattachSerialConsole", call.details)
            return self._console(call, guest, handler_pb2.CONSOLE_DEVICE_SERIAL)
        guest.require_stream("display", "autoattachGraphicsDevice", call.details)
        preserve = request.query.get("preserveSession", "") in _TRUE
        return self._console(call, guest, handler_pb2.CONSOLE_DEVICE_VNC, preserve_older=preserve)

    @contextlib.asynccontextmanager
    async def _console(
        self, call: Call, guest: Guest, device: handler_pb2.ConsoleDevice.ValueType, *, preserve_older: bool = False
    ) -> AsyncIterator[ConsoleStream]:
        request = handler_pb2.OpenConsoleRequest(target=guest.ref, device=device, preserve_older=preserve_older)
        async with contextlib.AsyncExitStack() as opened:
            peer = await opened.enter_async_context(self._handlers.peer(guest.status.node_name))
            try:
                stream = await opened.enter_async_context(ConsoleStream.open(peer, request))
            except rpc_errors.RpcError as error:
                what = f"cannot open {call.subresource} of {call.name}: virt-handler {peer.name}"
                if error.reason == _IN_USE:
                    raise errors.ServiceUnavailable(f"{what}: {error.message}", call.details) from error
                raise from_rpc(error, what, call.details) from error
            yield stream


def port_of(call: Call) -> int:
    """The port in the arguments of a port forward.

    Raises:
        BadRequest: the message names port or protocol.
    """
    port, _, protocol = call.arguments.partition("/")
    if not (port.isascii() and port.isdecimal() and 1 <= int(port[:6]) <= 65535):
        raise errors.BadRequest(f"port: {port[:80]!r} is not allowed, use 1 to 65535", call.details)
    if protocol not in ("", "tcp"):
        raise errors.BadRequest(f"protocol: {protocol[:80]!r} is not supported by this release, use tcp", call.details)
    return int(port)
