"""Translates a handler's error for the user. Pure; called by streams.py, commands.py and details.py."""

from __future__ import annotations

from collections.abc import Mapping

from virt_core.rpc import errors as rpc_errors

from virt_api import errors


def from_rpc(error: rpc_errors.RpcError, what: str, details: Mapping[str, str]) -> errors.ApiError:
    """The error for the user; `what` begins the message and names the failed operation."""
    kinds: tuple[tuple[type[rpc_errors.RpcError], type[errors.ApiError]], ...] = (
        (rpc_errors.UnsupportedByPeer, errors.NotSupported),
        (rpc_errors.NotFound, errors.NotFound),
        (rpc_errors.InvalidField, errors.BadRequest),
        (rpc_errors.Refused, errors.Conflict),
        (rpc_errors.Displaced, errors.Conflict),
        (rpc_errors.Unavailable, errors.ServiceUnavailable),
    )
    kind = next((answer for cause, answer in kinds if isinstance(error, cause)), errors.ApiError)
    return kind(f"{what}: {error.message}", details)
