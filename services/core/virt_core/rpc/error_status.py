"""Errors of a contract (errors.py) as gRPC's status and back. Called by server.py, peer.py and readers of streams."""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from virt_core.rpc.errors import (
    UNSUPPORTED_BY_PEER,
    Denied,
    Displaced,
    InvalidField,
    NotFound,
    Refused,
    RpcError,
    Unavailable,
    UnsupportedByPeer,
)

DOMAIN = "kubevirt.io"
_DETAILS_KEY = "grpc-status-details-bin"  # gRPC's richer error model

_BY_CODE: dict[int, type[RpcError]] = {
    code_pb2.FAILED_PRECONDITION: Refused,
    code_pb2.NOT_FOUND: NotFound,
    code_pb2.ABORTED: Displaced,
    code_pb2.PERMISSION_DENIED: Denied,
    code_pb2.UNAUTHENTICATED: Denied,
    code_pb2.UNAVAILABLE: Unavailable,
    code_pb2.DEADLINE_EXCEEDED: Unavailable,
    code_pb2.CANCELLED: Unavailable,
}


def to_status(error: RpcError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """The status code, message and trailing metadata that represent `error`."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    if error.field:
        info.metadata["field"] = error.field
    detail = any_pb2.Any()
    detail.Pack(info)
    status = status_pb2.Status(code=error.code, message=error.message, details=[detail])
    code = next(code for code in grpc.StatusCode if code.value[0] == error.code)
    return code, error.message, ((_DETAILS_KEY, status.SerializeToString()),)


def from_rpc_error(error: grpc.aio.AioRpcError) -> RpcError:
    """The error that the peer raised, or the equivalent of a transport error. A missing method is UnsupportedByPeer."""
    message = error.details() or error.code().name
    number = error.code().value[0]
    reason, field = _error_info(error)
    if number == code_pb2.UNIMPLEMENTED or reason == UNSUPPORTED_BY_PEER:
        return UnsupportedByPeer(message, field=field)
    if number == code_pb2.INVALID_ARGUMENT:
        invalid = InvalidField(field, "", "")
        invalid.message, invalid.args = message, (message,)
        return invalid
    return _BY_CODE.get(number, RpcError)(message, reason=reason, field=field)


def _error_info(error: grpc.aio.AioRpcError) -> tuple[str | None, str]:
    for key, value in error.trailing_metadata() or ():
        if key != _DETAILS_KEY or not isinstance(value, bytes):
            continue
        try:
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Is(info.DESCRIPTOR) and detail.Unpack(info) and info.domain == DOMAIN:
                    return info.reason, info.metadata.get("field", "")
        except DecodeError:  # at any depth: the peer may be hostile
            return None, ""
    return None, ""
