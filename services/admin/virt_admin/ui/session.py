"""The session of one browser: a code that is good once becomes a cookie and a key. Used by app.py and serve.py.

No secret is ever in a URL. The cookie is HttpOnly and SameSite=Strict. Cookies do not know ports, so a server of
somebody else on this machine could be sent it; the key, which the page keeps for its origin alone, is required as well.
"""

from __future__ import annotations

import base64
import secrets
from hmac import compare_digest

_CODE_BYTES = 15  # 24 letters


class Session:
    """Who may use the page."""

    def __init__(self) -> None:
        self.code = _grouped(base64.b32encode(secrets.token_bytes(_CODE_BYTES)).decode())
        """Shown in the terminal, or posted by the file that opens the browser."""

        self.cookie = secrets.token_urlsafe(32)
        self.key = secrets.token_urlsafe(32)
        self._used = False

    def exchange(self, code: str) -> bool:
        """Whether `code` is the code, and is used for the first time."""
        if self._used or not compare_digest(_plain(code).encode(), _plain(self.code).encode()):
            return False
        self._used = True
        return True

    def knows(self, cookie: str, key: str) -> bool:
        """Whether a request comes from the page."""
        return _equal(cookie, self.cookie) and _equal(key, self.key)


def cookie_name(port: int) -> str:
    """Of its own for each port, so that two pages on this machine do not end each other's session."""
    return f"virtadm-{port}"


def _equal(received: str, secret: str) -> bool:
    """In a time that says nothing of `secret`. What is no UTF-8 in a request has surrogates."""
    return compare_digest(received.encode(errors="surrogateescape"), secret.encode())


def _grouped(code: str) -> str:
    return "-".join(code[start : start + 4] for start in range(0, len(code), 4))


def _plain(code: str) -> str:
    return "".join(letter for letter in code.upper() if letter.isalnum())
