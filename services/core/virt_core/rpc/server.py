"""A gRPC server of the suite: GetInfo, must-understand, errors as statuses. Called by each service's app.py.

Knows no contract but info/v1. Reflection and health are added by services whose port a person may call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message
from kubevirt.info.v1 import info_pb2, info_pb2_grpc

from virt_core import logs
from virt_core.rpc.errors import RpcError, to_status
from virt_core.rpc.identity import Identity
from virt_core.rpc.must_understand import is_must_understand, refuse_unknown

_log = logs.bound("virt_core.rpc.server")

# Both sides ping a silent connection, so that a peer whose node died is noticed within 15 s.
KEEPALIVE_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
)


def create_server(identity: Identity, trust_bundle_sha256: Callable[[], str] = str) -> grpc.aio.Server:
    """A server that already answers GetInfo; the caller adds its servicers and its port and starts it."""
    server = grpc.aio.server(interceptors=[_Boundary()], options=(*KEEPALIVE_OPTIONS, ("grpc.so_reuseport", 0)))
    info_pb2_grpc.add_InfoServiceServicer_to_server(_Info(identity, trust_bundle_sha256), server)
    return server


class _Info(info_pb2_grpc.InfoServiceServicer):
    def __init__(self, identity: Identity, trust_bundle_sha256: Callable[[], str]) -> None:
        self._identity = identity
        self._trust_bundle_sha256 = trust_bundle_sha256

    async def GetInfo(  # noqa: N802 - the contract's name
        self, request: info_pb2.GetInfoRequest, context: Any
    ) -> info_pb2.GetInfoResponse:
        return self._identity.to_message(self._trust_bundle_sha256())


class _Boundary(grpc.aio.ServerInterceptor):
    """Refuses what is not understood before the servicer sees it, and says the servicer's errors on the wire."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        codec = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(_guarded_unary(handler.unary_unary), **codec)
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(_guarded_stream(handler.unary_stream), **codec)
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(_guarded_stream(handler.stream_stream), **codec)
        return handler


def _check(request: object) -> None:
    if isinstance(request, Message) and is_must_understand(request):
        refuse_unknown(request)


async def _abort(context: Any, error: RpcError) -> None:
    code, message, metadata = to_status(error)
    _log.info("refusing call", reason=error.reason, field=error.field, message=message)
    await context.abort(code, message, metadata)


def _guarded_unary(method: Any) -> Any:
    async def call(request: Any, context: Any) -> Any:
        try:
            _check(request)
            return await method(request, context)
        except RpcError as error:
            await _abort(context, error)

    return call


def _guarded_stream(method: Any) -> Any:
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            _check(request)
            async for response in method(request, context):
                yield response
        except RpcError as error:
            await _abort(context, error)

    return call
