"""Refusals as the user sees them: Kubernetes Status objects. Raised anywhere below a request, answered by routes.py.

Reasons are those of Kubernetes' API conventions (meta/v1 StatusReason), so that every client library knows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """Base. `details` is the Status object's own field: group, kind and name of what the request was about."""

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
    """The request makes no sense now. virtctl waits and repeats a console that is refused with this code."""

    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    """Nobody whom we trust says who the caller is."""

    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    """The user may not do this."""

    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    """There is no such path or object."""

    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    """The path is there, for another method."""

    code, reason = 405, "MethodNotAllowed"


class Conflict(ApiError):
    """The object's state does not allow it, and waiting will not help."""

    code, reason = 409, "Conflict"


class NotSupported(ApiError):
    """KubeVirt has this subresource and this release has not."""

    code, reason = 501, "NotImplemented"


class ServiceUnavailable(ApiError):
    """Something that the answer needs is away at the moment: repeat later."""

    code, reason = 503, "ServiceUnavailable"
