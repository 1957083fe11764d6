"""Errors that users see as Kubernetes Status objects. Raised anywhere in a request, converted by routes.py.

Reasons are those of Kubernetes' API conventions (meta/v1 StatusReason), which client libraries know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """Base class. `details` is the field of the Status object: group, kind and name of the requested object."""

    code = 500
    reason = "InternalError"

    def __init__(self, message: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})

    def to_status(self) -> dict[str, Any]:
        """The Status object."""
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        return {**status, "details": self.details} if self.details else status


class BadRequest(ApiError):
    """The request is invalid in the current state. virtctl retries a console that is refused with this code."""

    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    """The caller is not authenticated by a trusted front proxy."""

    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    """The user is not allowed to do this."""

    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    """The path or object does not exist."""

    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    """The path exists for another method."""

    code, reason = 405, "MethodNotAllowed"


class Conflict(ApiError):
    """The object's state does not allow it, and a retry does not help."""

    code, reason = 409, "Conflict"


class NotSupported(ApiError):
    """KubeVirt has this subresource, but this release does not support it."""

    code, reason = 501, "NotImplemented"


class ServiceUnavailable(ApiError):
    """A dependency is temporarily unavailable: retry later."""

    code, reason = 503, "ServiceUnavailable"
