"""What the API server's refusals mean for the caller. Raised by client.py only."""

from __future__ import annotations


class KubeError(Exception):
    """Base. `status` is the HTTP status, `message` the API server's own words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class NotFound(KubeError):
    """The object, or its kind, is not there."""


class AlreadyExists(KubeError):
    """An object of that name is there: look at it."""


class Conflict(KubeError):
    """The object changed meanwhile, or a patch's test failed: observe again, plan again."""


class Gone(KubeError):
    """The resourceVersion is too old: list again."""


class Forbidden(KubeError):
    """RBAC or admission says no: repeating will not help before someone changes something."""


class Invalid(KubeError):
    """The object is not valid: a defect of the caller."""


class Unavailable(KubeError):
    """No answer, or a temporary refusal: retry after a while."""


def from_status(status: int, message: str, reason: str) -> KubeError:
    """The error for an HTTP status with a Status object's message and reason."""
    if status == 409:
        return AlreadyExists(status, message) if reason == "AlreadyExists" else Conflict(status, message)
    if status == 422 and message.startswith("the server rejected our request due to an error"):
        # A JSON patch whose test failed, or whose path is gone; an object that is not valid is named by its message.
        return Conflict(status, message)
    kind = {400: Invalid, 401: Unavailable, 403: Forbidden, 404: NotFound, 410: Gone, 422: Invalid, 429: Unavailable}
    if status in kind:
        return kind[status](status, message)
    return Unavailable(status, message) if status >= 500 else KubeError(status, message)
