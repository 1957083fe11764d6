"""Errors that cross a contract. Each class tells the caller how to react.

Servicers raise them and the server's interceptor (server.py) turns them into a status with an ErrorInfo detail;
`from_rpc_error` turns that back into the same class on the caller's side.
"""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

DOMAIN = "kubevirt.io"
UNSUPPORTED_BY_PEER = "UNSUPPORTED_BY_PEER"
_DETAILS_KEY = "grpc-status-details-bin"  # gRPC's richer error model


class RpcError(Exception):
    """Base class. `reason` is for programs; `field` is the path of the field at fault, "" if there is none."""

    code = code_pb2.UNKNOWN
    reason = "UNKNOWN"

    def __init__(self, message: str, *, reason: str | None = None, field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        if reason is not None:
            self.reason = reason


class Refused(RpcError):
    """The peer's state does not allow the call: do not retry without a change."""

    code = code_pb2.FAILED_PRECONDITION
    reason = "REFUSED"


class UnsupportedByPeer(Refused):
    """The peer does not support `field`: omit it or use another peer. Never retry."""

    reason = UNSUPPORTED_BY_PEER


class InvalidField(RpcError):
    """A value that is invalid in every state: report it to the user."""

    code = code_pb2.INVALID_ARGUMENT
    reason = "INVALID_FIELD"

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field}: {value!r} is not allowed, use {allowed}", field=field)


class NotFound(RpcError):
    """The object does not exist, or no longer exists."""

    code = code_pb2.NOT_FOUND
    reason = "NOT_FOUND"


class Displaced(RpcError):
    """A newer caller has replaced this one: end without an error."""

    code = code_pb2.ABORTED
    reason = "DISPLACED"


class Denied(RpcError):
    """The caller may not do this: give up."""

    code = code_pb2.PERMISSION_DENIED
    reason = "DENIED"


class Unavailable(RpcError):
    """The peer cannot be reached or did not answer in time: try again later."""

    code = code_pb2.UNAVAILABLE
    reason = "UNAVAILABLE"


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
        status = status_pb2.Status()
        try:
            status.ParseFromString(value)
        except Exception:
            return None, ""
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            if detail.Is(info.DESCRIPTOR) and detail.Unpack(info) and info.domain == DOMAIN:
                return info.reason, info.metadata.get("field", "")
    return None, ""
