"""The subresource "console": a user's websocket joined to a guest's serial console. Called by routes.py.

Everything that can be refused is refused before the upgrade, as a Status object, so the handler's stream is open before
the client hears "101". The protocol is KubeVirt's: subprotocol plain.kubevirt.io if it is offered, raw bytes in binary
messages both ways. Each direction is one loop that takes the next piece only when the last one found room, so a slow
side slows the other instead of filling memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

import aiohttp
import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from kubevirt.handler.v1 import handler_pb2
from virt_core import logs
from virt_core.api.meta import ObjectMeta
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError, NotFound, Unavailable
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES
from virt_core.rpc import errors as rpc_errors

from virt_api import errors
from virt_api.console_stream import ConsoleStream
from virt_api.handler_pods import HandlerPods
from virt_api.subresources import Call

SUBPROTOCOL = "plain.kubevirt.io"
_LARGEST_FRAME = 10240  # bytes, as KubeVirt's clients read them
_LARGEST_MESSAGE = 1024 * 1024  # bytes taken from a client at once
_PING = 25.0  # seconds; keeps proxies on the way from calling the connection idle
_FINISHING = 1.0  # seconds for what was typed last to reach the guest
CLOSING = 5.0  # seconds for a client to take part in closing
_log = logs.bound("virt_api.console")


class GuestStatus(msgspec.Struct, frozen=True, rename="camel"):
    """Where it runs and how far it is."""

    phase: str = ""
    node_name: str = ""


class Guest(msgspec.Struct, frozen=True):
    """What a console must know of a VirtualMachineInstance."""

    metadata: ObjectMeta
    status: GuestStatus = GuestStatus()
    spec: object = None  # read only for autoattachSerialConsole

    @property
    def has_console(self) -> bool:
        """Whether the manifest leaves the serial console in."""
        found = self.spec
        for key in ("domain", "devices", "autoattachSerialConsole"):
            found = found.get(key) if isinstance(found, dict) else None
        return found is not False

    def require_console(self, details: dict[str, str]) -> None:
        """Raises BadRequest (virtctl waits and repeats) or Conflict (it gives up) unless there is one to open."""
        name, phase = self.metadata.name, self.status.phase
        if phase in ("Failed", "Succeeded"):
            raise errors.Conflict(f"VirtualMachineInstance {name} has ended, its phase is {phase}", details)
        if not self.has_console:
            message = f"VirtualMachineInstance {name} has no serial console: autoattachSerialConsole is false"
            raise errors.BadRequest(message, details)
        if phase != "Running" or not self.status.node_name:
            message = (
                f"VirtualMachineInstance {name} has no console yet, its phase is {phase or 'not set'}, not Running"
            )
            raise errors.BadRequest(message, details)


@dataclass(frozen=True, slots=True)
class _End:
    """How to say to the client that it is over (RFC 6455, 7.4)."""

    code: int = WSCloseCode.OK
    reason: str = ""


class Consoles:
    """All consoles that are open through this process."""

    def __init__(self, client: KubeClient, handlers: HandlerPods) -> None:
        self._client = client
        self._handlers = handlers
        self._stopping = asyncio.Event()

    async def serve(self, request: web.Request, call: Call) -> web.WebSocketResponse:
        """Join `request` to the console that `call` names, until either side ends.

        Raises:
            ApiError: before the upgrade.
        """
        if request.headers.get("Upgrade", "").lower() != "websocket":
            raise errors.BadRequest(f"{call.resource}/{call.subresource} is a websocket", call.details)
        guest = await self._guest(call)
        guest.require_console(call.details)
        meta, node = guest.metadata, guest.status.node_name
        target = handler_pb2.VirtualMachineInstanceRef(namespace=meta.namespace, name=meta.name, uid=meta.uid)
        log = _log.bind(namespace=meta.namespace, name=meta.name, uid=meta.uid, node=node)
        async with contextlib.AsyncExitStack() as opened:
            peer = await opened.enter_async_context(self._handlers.peer(node))
            log.info("opening console", handler=peer.name)
            try:
                stream = await opened.enter_async_context(ConsoleStream.open(peer, target))
            except rpc_errors.RpcError as error:
                raise _refusal(error, peer.name, call) from error
            socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,), compress=False, max_msg_size=_LARGEST_MESSAGE)
            await socket.prepare(request)
            end = await _join(socket, stream, self._stopping)
            log.info("closing console", code=end.code, reason=end.reason)
            await _close(socket, end)
        return socket

    def stop(self) -> None:
        """Let every console tell its client that this process ends, and end within CLOSING seconds."""
        self._stopping.set()

    async def _guest(self, call: Call) -> Guest:
        try:
            found = await self._client.get(VIRTUAL_MACHINE_INSTANCES, call.namespace, call.name)
        except NotFound as error:
            message = f'virtualmachineinstances.kubevirt.io "{call.name}" not found in namespace "{call.namespace}"'
            raise errors.NotFound(message, call.details) from error
        except Unavailable as error:
            raise errors.ServiceUnavailable(f"cannot read {call.name}, try again: {error}", call.details) from error
        except KubeError as error:
            raise errors.ApiError(f"virt-api cannot read {call.name}: {error}", call.details) from error
        return msgspec.convert(found, Guest)


def _refusal(error: rpc_errors.RpcError, handler: str, call: Call) -> errors.ApiError:
    kinds: tuple[tuple[type[rpc_errors.RpcError], type[errors.ApiError]], ...] = (
        (rpc_errors.UnsupportedByPeer, errors.NotSupported),
        (rpc_errors.NotFound, errors.NotFound),
        (rpc_errors.Refused, errors.Conflict),
        (rpc_errors.Displaced, errors.Conflict),
        (rpc_errors.Unavailable, errors.ServiceUnavailable),
    )
    kind = next((answer for cause, answer in kinds if isinstance(error, cause)), errors.ApiError)
    return kind(f"cannot open the console of {call.name}: virt-handler {handler}: {error.message}", call.details)


async def _join(socket: web.WebSocketResponse, stream: ConsoleStream, stopping: asyncio.Event) -> _End:
    """Carry bytes both ways until one side ends, or this process; how it ended.

    The socket is closed by the caller alone: closed from another task, it would be torn down before its close frame
    is answered, and clients would miss the reason.
    """
    async with asyncio.TaskGroup() as group:
        pings = group.create_task(_ping(socket), name="console: pings")
        typed = group.create_task(_to_guest(socket, stream), name="console: to the guest")
        shown = group.create_task(_to_client(socket, stream), name="console: to the client")
        leaving = group.create_task(stopping.wait(), name="console: end of the process")
        await asyncio.wait((typed, shown, leaving), return_when=asyncio.FIRST_COMPLETED)
        if shown.done() and (told := shown.result()) is not None:
            end = told
        elif leaving.done():
            end = _End(WSCloseCode.GOING_AWAY, "virt-api is stopping, connect again")
        else:
            end = await _client_left(typed, shown, stream)
        for task in (pings, typed, shown, leaving):
            task.cancel()
    return end


async def _client_left(
    typed: asyncio.Task[_End | None], shown: asyncio.Task[_End | None], stream: ConsoleStream
) -> _End:
    """The client closes or is gone: what it typed last still goes to the guest. How it ended."""
    await asyncio.wait((typed,), timeout=_FINISHING)  # a guest that takes nothing is not waited for
    end = typed.result() if typed.done() else _End()
    if end is None:
        # The stream to the handler has ended, and its reader knows how.
        return await shown or _End()
    await stream.end_input()
    # A read that is cancelled would cancel the stream, and what was typed last with it.
    await asyncio.wait((shown,), timeout=_FINISHING)
    if shown.done():
        await stream.drain(_FINISHING)
    return end


async def _to_client(socket: web.WebSocketResponse, stream: ConsoleStream) -> _End | None:
    """How the guest's side ended; None if the client is gone."""
    try:
        while (data := await stream.read()) is not None:
            for start in range(0, len(data), _LARGEST_FRAME):
                await socket.send_bytes(data[start : start + _LARGEST_FRAME])
    except rpc_errors.Displaced:
        return _End(WSCloseCode.POLICY_VIOLATION, "displaced: a newer client has opened this console")
    except rpc_errors.RpcError as error:
        return _End(WSCloseCode.INTERNAL_ERROR, f"the console ended: {error.message}")
    except (aiohttp.ClientError, ConnectionError):
        return None
    return _End()


async def _to_guest(socket: web.WebSocketResponse, stream: ConsoleStream) -> _End | None:
    async for message in socket:  # ends when the client closes or is gone
        # Anything but binary is ignored, as KubeVirt does.
        if message.type is WSMsgType.BINARY and not await stream.write(message.data):
            return None
    return _End()


async def _ping(socket: web.WebSocketResponse) -> None:
    """Pings without insisting on answers: a terminal that is paused reads nothing, and lives."""
    with contextlib.suppress(aiohttp.ClientError, ConnectionError):
        while True:
            await asyncio.sleep(_PING)
            await socket.ping()


async def _close(socket: web.WebSocketResponse, end: _End) -> None:
    reason = end.reason.encode()[:123].decode(errors="ignore").encode()  # a control frame holds 125 bytes
    with contextlib.suppress(TimeoutError, aiohttp.ClientError, ConnectionError):
        async with asyncio.timeout(CLOSING):
            await socket.close(code=end.code, message=reason)
