"""Errors that cross a contract. Each class tells the caller how to react.

Servicers raise them. The server's interceptor (server.py) sends them as a status with an ErrorInfo detail, and the
caller's side (peer.py) raises the same class again; both translate with error_status.py. Pure; raised also by modules
that decide, which must not load gRPC.
"""

from __future__ import annotations

from google.rpc import code_pb2

UNSUPPORTED_BY_PEER = "UNSUPPORTED_BY_PEER"


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
