"""Errors of the API server. Each class tells the caller how to react. Raised by client.py only."""

from __future__ import annotations


class KubeError(Exception):
    """Base class. `status` is the HTTP status, 0 without a response; `message` is the API server's message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}" if status else message)
        self.status = status
        self.message = message


class NotFound(KubeError):
    """The object or its kind does not exist."""


class AlreadyExists(KubeError):
    """An object of that name exists: read it."""


class Conflict(KubeError):
    """The object has changed, or a patch's test failed: observe and plan again."""


class Gone(KubeError):
    """The resourceVersion is too old: list again."""


class Forbidden(KubeError):
    """RBAC or admission refuses: a retry does not help until someone changes the cluster."""


class Invalid(KubeError):
    """The object is not valid: a defect of the caller."""


class Unavailable(KubeError):
    """No response, or a temporary failure: retry later."""


def from_status(status: int, message: str, reason: str) -> KubeError:
    """The error for an HTTP status with a Status object's message and reason."""
    if status == 409:
        return AlreadyExists(status, message) if reason == "AlreadyExists" else Conflict(status, message)
    if status == 422 and message.startswith("the server rejected our request due to an error"):
        # A JSON patch whose test failed or whose path is missing. The message distinguishes it from an invalid object.
        return Conflict(status, message)
    kind = {400: Invalid, 401: Unavailable, 403: Forbidden, 404: NotFound, 410: Gone, 422: Invalid, 429: Unavailable}
    if status in kind:
        return kind[status](status, message)
    return Unavailable(status, message) if status >= 500 else KubeError(status, message)
