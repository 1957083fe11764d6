"""How a caller reacts to errors of the API server."""

from __future__ import annotations

import pytest
from virt_core.kube.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    KubeError,
    NotFound,
    Unavailable,
    from_status,
)


@pytest.mark.parametrize(
    ("status", "message", "reason", "kind"),
    [
        (400, "", "BadRequest", Invalid),
        (401, "", "Unauthorized", Unavailable),
        (403, "", "Forbidden", Forbidden),
        (404, "", "NotFound", NotFound),
        (409, "", "AlreadyExists", AlreadyExists),
        (409, "", "Conflict", Conflict),
        (410, "", "Expired", Gone),
        (415, "", "UnsupportedMediaType", KubeError),
        (422, "the server rejected our request due to an error in our request", "Invalid", Conflict),
        (422, 'Pod "p" is invalid: spec.containers: Required value', "Invalid", Invalid),
        (429, "", "TooManyRequests", Unavailable),
        (500, "", "InternalError", Unavailable),
        (503, "", "", Unavailable),
        (504, "", "Timeout", Unavailable),
    ],
)
def test_the_class_tells_the_caller_how_to_react(status: int, message: str, reason: str, kind: type[KubeError]) -> None:
    error = from_status(status, message, reason)
    assert type(error) is kind
    assert (error.status, error.message) == (status, message)


def test_an_error_without_a_response_has_no_status_in_its_text() -> None:
    assert str(Unavailable(0, "GET /api: cannot connect")) == "GET /api: cannot connect"
    assert str(Unavailable(503, "busy")) == "503: busy"
