"""A gRPC server of the suite: GetInfo, must-understand, errors as statuses. Knows no contract but info/v1.

Called by the launcher for its socket, and by port.py for the ports of the other components.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.message import Message
from kubevirt.info.v1 import info_pb2, info_pb2_grpc

from virt_core import logs
from virt_core.rpc.error_status import to_status
from virt_core.rpc.errors import Denied, RpcError
from virt_core.rpc.identity import Identity
from virt_core.rpc.must_understand import is_must_understand, refuse_unknown

_log = logs.bound("virt_core.rpc.server")

Rule = Callable[[Any], Awaitable[None]]
"""Authorizes a caller: returns if the caller of the gRPC context is allowed, otherwise raises Denied (authorize.py)."""

# Both sides ping a silent connection, so that a peer whose node died is noticed within 15 s.
KEEPALIVE_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
)


def create_server(
    identity: Identity,
    trust_bundle_sha256: Callable[[], str] = str,
    rules: Mapping[str, Rule] | None = None,
    options: Sequence[tuple[str, int]] = (),
) -> grpc.aio.Server:
    """A server with GetInfo; the caller adds its servicers and its port and starts it.

    `rules` maps a service, for example "kubevirt.info.v1.InfoService", to the rule that authorizes its callers, and a
    method, for example "kubevirt.admin.v1.AdminService/Plan", to one of its own. Calls to a service without a rule are
    refused. Without `rules` every caller is allowed: access to a unix socket's folder decides.
    """
    server = grpc.aio.server(
        interceptors=[_Boundary(rules)], options=(*KEEPALIVE_OPTIONS, ("grpc.so_reuseport", 0), *options)
    )
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
    """Refuses unauthorized callers and messages with unknown fields before the servicer sees them, and translates the
    servicer's errors to statuses."""

    def __init__(self, rules: Mapping[str, Rule] | None) -> None:
        self._rules = rules

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        _log.debug("taking a call", method=handler_call_details.method)
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        authorize = self._rule(handler_call_details.method)
        codec = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(_guarded_unary(handler.unary_unary, authorize), **codec)
        if handler.stream_unary is not None:
            return grpc.stream_unary_rpc_method_handler(_guarded_unary(handler.stream_unary, authorize), **codec)
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(_guarded_stream(handler.unary_stream, authorize), **codec)
        return grpc.stream_stream_rpc_method_handler(_guarded_stream(handler.stream_stream, authorize), **codec)

    def _rule(self, method: str) -> Rule:
        if self._rules is None:
            return _everyone
        name = method.removeprefix("/")
        return self._rules.get(name) or self._rules.get(name.partition("/")[0], _nobody)


async def _everyone(_: Any) -> None:
    return None


async def _nobody(_: Any) -> None:
    raise Denied("nobody may call this service: it has no rule")


def _check(request: object) -> None:
    if isinstance(request, Message) and is_must_understand(request):
        refuse_unknown(request)


async def _abort(context: Any, error: RpcError) -> None:
    code, message, metadata = to_status(error)
    _log.info("refusing call", reason=error.reason, field=error.field, message=message)
    await context.abort(code, message, metadata)


def _guarded_unary(method: Any, authorize: Rule) -> Any:
    async def call(request: Any, context: Any) -> Any:
        try:
            await authorize(context)
            _check(request)
            return await method(request, context)
        except RpcError as error:
            await _abort(context, error)

    return call


def _guarded_stream(method: Any, authorize: Rule) -> Any:
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            await authorize(context)
            _check(request)
            responses = method(request, context)
            if not hasattr(responses, "__aiter__"):  # gRPC's own health service writes its responses itself
                await responses
                return
            # When a caller disconnects, close the generator with the call, not at some later garbage collection.
            async with aclosing(responses):
                async for response in responses:
                    yield response
        except RpcError as error:
            await _abort(context, error)

    return call
