"""Which requests the server answers: those of its own page, in the browser that the session was handed over to. Pure.

Called by app.py for each request, also for those that become a WebSocket. A page of another origin, or a name of
another that resolves to this machine (DNS rebinding), is refused before anything is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SESSION = "/session"
"""Where the code is exchanged for a session. The file that opens the browser posts it, and a file has no origin."""

KEY_HEADER = "X-Virtadm-Key"
SUBPROTOCOL = "virtadm"
_KEY_PROTOCOL = "key."
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The parts of a request that decide."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Case-insensitive."""

    @property
    def upgrades(self) -> bool:
        """Whether it becomes a WebSocket."""
        return self.headers.get("Upgrade", "").lower() == "websocket"

    @property
    def key(self) -> str:
        """The page's key: a header, or of a WebSocket, which a page cannot give headers, a subprotocol."""
        offered = (part.strip() for part in self.headers.get("Sec-WebSocket-Protocol", "").split(","))
        of_socket = (part.removeprefix(_KEY_PROTOCOL) for part in offered if part.startswith(_KEY_PROTOCOL))
        return self.headers.get(KEY_HEADER) or next(of_socket, "")


def refusal(parts: Asked, port: int) -> str:
    """Why the request is refused whoever sends it; "" if it is not."""
    host = parts.headers.get("Host", "")
    if host not in (f"127.0.0.1:{port}", f"localhost:{port}"):
        return "this server answers only to 127.0.0.1 and localhost, at its own port"
    if parts.method not in ("GET", "POST"):
        return "only GET and POST are served"
    origin, site = parts.headers.get("Origin"), parts.headers.get("Sec-Fetch-Site", "")
    if parts.method == "POST" and parts.path == SESSION and origin == "null":
        return ""
    changes = parts.method != "GET" or parts.upgrades
    if origin != f"http://{host}" and (origin is not None or changes):
        return "requests of another origin are refused"
    if site not in ("", "same-origin", "none"):
        return "requests of another site are refused"
    return ""


def headers(nonce: str) -> dict[str, str]:
    """Of every response. The nonce is for styles that xterm.js writes."""
    return {"Content-Security-Policy": _POLICY.format(nonce=nonce), **_HEADERS}
