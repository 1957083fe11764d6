"""The API server's refusal of a request. Raised by store.py, answered as a Status by api_server.py."""

from __future__ import annotations


class Refused(Exception):
    """The answer is a Status of this code, reason and message."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
