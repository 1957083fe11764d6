"""The remote end of a channel. Negotiates with the live process right before each must-understand message.

Used by the handler for its launchers and by the api for handlers. Negotiation depends on the process, never on an image
tag: another release's launcher may listen on the same socket. Results are not cached between calls: such messages are
few, GetInfo costs half a millisecond, and grpc.aio's watch of a channel's state sometimes hangs when it is cancelled.
If the peer restarts between the two calls, its own check refuses the message.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from kubevirt.info.v1 import info_pb2, info_pb2_grpc

from virt_core.rpc.bounded import BoundedChannel
from virt_core.rpc.error_status import from_rpc_error
from virt_core.rpc.errors import RpcError, Unavailable
from virt_core.rpc.must_understand import is_must_understand, require_supported
from virt_core.rpc.server import KEEPALIVE_OPTIONS

_LARGEST_INFO = 64 * 1024  # bytes; an answer to GetInfo has one, and it is kept as long as the channel
# Seconds between two attempts to ask a process that breaks its connections.
_PAUSE = 0.05
_CHANNEL_OPTIONS = (
    *KEEPALIVE_OPTIONS,
    ("grpc.initial_reconnect_backoff_ms", 50),
    # How long a connection attempt may take with its TLS handshake. It does not delay the attempt after a refused one.
    ("grpc.min_reconnect_backoff_ms", 10_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),
)
Response = TypeVar("Response")


class Peer:
    """A peer behind one channel; `channel` is for making stubs."""

    def __init__(
        self,
        target: str,
        *,
        name: str,
        credentials: grpc.ChannelCredentials | None = None,
        options: Sequence[tuple[str, str | int]] = (),
    ) -> None:
        """`target` is a gRPC target such as "unix:/pods/…" or "10.0.0.1:8186"; `name` is used in errors.

        `options` are gRPC channel arguments that extend or replace the suite's own, for example the TLS name of a peer
        that is reached by its address.
        """
        self.name = name
        self.info: info_pb2.GetInfoResponse | None = None
        """The last answer to GetInfo; None before the first."""
        arguments = tuple((dict(_CHANNEL_OPTIONS) | dict(options)).items())  # gRPC uses the first of two equal keys
        if credentials is None:
            self.channel = grpc.aio.insecure_channel(target, options=arguments)
        else:
            self.channel = grpc.aio.secure_channel(target, credentials, options=arguments)
        bounded: Any = BoundedChannel(self.channel, _LARGEST_INFO)
        self._stub: Any = info_pb2_grpc.InfoServiceStub(bounded)

    async def negotiate(self, timeout: float = 5.0, *, patient: bool = True) -> info_pb2.GetInfoResponse:
        """Call GetInfo on the live process. Unless `patient`, a refused connection is not retried.

        Raises:
            Unavailable: no response within `timeout` seconds.
            RpcError: the response does not decode.
        """
        try:
            self.info = self._decoded(await self._ask(timeout, patient=patient))
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        return self.info

    async def _ask(self, timeout: float, *, patient: bool) -> info_pb2.GetInfoResponse:
        """GetInfo. The connection may belong to a process that ends just now, and so may the next: a call that breaks,
        which has no side effects, is repeated until `timeout` is over."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout
        while True:
            question, left = info_pb2.GetInfoRequest(), deadline - clock()
            try:
                answer: info_pb2.GetInfoResponse = await self._stub.GetInfo(
                    question, timeout=left, wait_for_ready=patient
                )
            except grpc.aio.AioRpcError as error:
                broken = error.code() is grpc.StatusCode.UNAVAILABLE
                if not patient or not broken or clock() + _PAUSE >= deadline:
                    raise
            else:
                return answer
            await asyncio.sleep(_PAUSE)

    async def call(
        self, method: Callable[..., Awaitable[Response]], request: Message, *, timeout: float, **options: Any
    ) -> Response:
        """A unary call with a deadline of `timeout` seconds.

        Raises:
            UnsupportedByPeer: the peer lacks a field or the method; nothing was sent in the first case.
            RpcError: as the peer or the transport says, or its response does not decode.
        """
        await self._check(request)
        try:
            return self._decoded(await method(request, timeout=timeout, **options))
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    async def stream(
        self, method: Callable[..., Any], request: Any, *, idle: float, lifetime: float
    ) -> AsyncGenerator[Any, None]:
        """Responses of a streaming call; ends when the server ends it. Close it (`aclosing`) if you may leave it early.

        Raises:
            Unavailable: no response, not even a heartbeat, for `idle` seconds.
            RpcError: as the peer or the transport says, or a response does not decode.
        """
        await self._check(request)
        call = method(request, timeout=lifetime)
        try:
            while True:
                async with asyncio.timeout(idle):
                    response = await call.read()
                if response is grpc.aio.EOF:
                    return
                yield self._decoded(response)
        except TimeoutError as error:
            raise Unavailable(f"{self.name} has been silent for {idle:.0f} s") from error
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        finally:
            call.cancel()

    async def close(self) -> None:
        """Close the channel; calls in flight end."""
        await self.channel.close()

    def _decoded(self, response: Response | None) -> Response:
        """The response; grpc.aio returns None for one that does not decode."""
        if response is None:
            raise RpcError(f"{self.name} sent a message that does not decode", reason="NOT_DECODED")
        return response

    async def _check(self, request: Any) -> None:
        if isinstance(request, Message) and is_must_understand(request):
            info = await self.negotiate()
            require_supported(request, frozenset(info.features), self.name)
