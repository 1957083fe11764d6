"""The page's server: which paths there are, and who may use them. Made by serve.py.

guard.py decides before anything else. Without a session there are only the form for the code and the page's own files,
which hold nothing of a cluster. There is no way to the API server but these routes.
"""

from __future__ import annotations

import secrets
import weakref
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from virt_core.kube.errors import KubeError
from virt_core.validation.refusal import DNS_LABEL, DNS_NAME

from virt_admin.access import Access
from virt_admin.outcome import CannotTell
from virt_admin.requests.methods import BY_COMMAND
from virt_admin.ui import calls, guard
from virt_admin.ui.actions import ACTIONS, STREAMS
from virt_admin.ui.board import Board
from virt_admin.ui.feed import feed
from virt_admin.ui.page import File
from virt_admin.ui.relay import relay
from virt_admin.ui.session import Session, cookie_name
from virt_admin.ui.sockets import OPEN, close_all

_LARGEST = 64 * 1024  # bytes of a request


@dataclass(frozen=True, slots=True)
class Server:
    """What the handlers need."""

    access: Access
    board: Board
    files: Mapping[str, File]
    session: Session
    port: int

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=_LARGEST, middlewares=[self._guarded, _explained])
        app[OPEN] = weakref.WeakSet()
        app.on_shutdown.append(close_all)
        app.on_response_prepare.append(_secure)
        vm = "/api/vms/{namespace}/{name}"
        app.add_routes(
            [
                web.get("/", self._index),
                web.get("/enter", self._enter),
                web.post(guard.SESSION, self._exchange),
                web.get("/assets/{name}", self._asset),
                web.get("/licenses.txt", self._asset),
                web.get("/api/feed", self._feed),
                web.get(f"{vm}/findings", self._findings),
                web.get(f"{vm}/statistics", self._statistics),
                web.get(f"{vm}/{{stream:{'|'.join(STREAMS)}}}", self._stream),
                web.post(f"{vm}/{{action:{'|'.join(ACTIONS)}}}", self._act),
                web.post("/api/plan", self._plan),
                web.post(f"/api/suite/{{request:{'|'.join(BY_COMMAND)}}}", self._carry_out),
            ]
        )
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what is not of the page. An error of HTTP is answered in JSON, as others are."""
        parts = guard.Asked(request.method, request.path, request.headers)
        if why := guard.refusal(parts, self.port):
            return web.json_response({"error": why}, status=403)
        if request.path.startswith("/api/") and not self._knows(request, parts.key):
            why = "no session: enter the code that virtadm shows"
            return web.json_response({"error": why}, status=401)
        try:
            return await handler(request)
        except web.HTTPException as error:
            return web.json_response({"error": error.reason}, status=error.status)

    def _knows(self, request: web.Request, key: str) -> bool:
        return self.session.knows(request.cookies.get(cookie_name(self.port), ""), key)

    async def _index(self, request: web.Request) -> web.Response:
        """The page; for who has no cookie the form for the code."""
        known = self._knows(request, self.session.key)
        return self._document("/index.html") if known else self._form()

    async def _enter(self, request: web.Request) -> web.Response:
        """The form for the code, also for a browser whose key is lost."""
        return self._form()

    def _form(self, *, refused: bool = False) -> web.Response:
        response = self._document("/enter.html", hidden="" if refused else "hidden")
        response.set_status(403 if refused else 200)
        return response

    async def _exchange(self, request: web.Request) -> web.Response:
        """The code for cookie and key. The document stores the key for its origin, and goes on to the page."""
        try:
            code = (await request.post()).get("code", "")
        except (ValueError, LookupError):  # it does not decode, or names no encoding
            code = ""
        if not isinstance(code, str) or not self.session.exchange(code):
            return self._form(refused=True)
        response = self._document("/entered.html", key=self.session.key)
        name = cookie_name(self.port)
        response.set_cookie(name, self.session.cookie, httponly=True, samesite="Strict", path="/")
        return response

    def _document(self, path: str, **values: str) -> web.Response:
        """The document with `@name@` replaced by each value."""
        nonce = secrets.token_urlsafe(16)
        body = self.files[path].with_nonce(nonce)
        for name, value in values.items():
            body = body.replace(f"@{name}@".encode(), value.encode())
        return web.Response(body=body, headers={"Content-Type": "text/html; charset=utf-8", **guard.headers(nonce)})

    async def _asset(self, request: web.Request) -> web.Response:
        file = self.files.get(request.path)
        if file is None:
            raise web.HTTPNotFound
        return web.Response(body=file.content, headers={"Content-Type": file.type})

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        return await feed(request, self.board)

    async def _findings(self, request: web.Request) -> web.StreamResponse:
        return await calls.diagnose(self.access, *_vm(request))

    async def _statistics(self, request: web.Request) -> web.StreamResponse:
        return await calls.measure(self.access.client, self.board, *_vm(request))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        return await relay(request, self.access.client, *_vm(request), request.match_info["stream"])

    async def _act(self, request: web.Request) -> web.StreamResponse:
        return await calls.act(self.access.client, *_vm(request), request.match_info["action"])

    async def _plan(self, request: web.Request) -> web.StreamResponse:
        return await calls.plan(request, self.access, await _target(request))

    async def _carry_out(self, request: web.Request) -> web.StreamResponse:
        return await calls.carry_out(self.access, request.match_info["request"], await _target(request))


@web.middleware
async def _explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors of the cluster as errors that the page shows."""
    try:
        return await handler(request)
    except (CannotTell, KubeError) as error:
        return calls.failure(error)


async def _secure(_: web.Request, response: web.StreamResponse) -> None:
    """Give every response the headers; a document has them already, with its nonce."""
    for name, value in guard.headers("none").items():
        response.headers.setdefault(name, value)


def _vm(request: web.Request) -> tuple[str, str]:
    """Namespace and name of the path. They become parts of another path, so nothing else may pass."""
    namespace, name = request.match_info["namespace"], request.match_info["name"]
    if not (DNS_LABEL.accepts(namespace) and DNS_NAME.accepts(name)):
        raise web.HTTPBadRequest(reason="namespace and name are names as in RFC 1123")
    return namespace, name


async def _target(request: web.Request) -> calls.Target:
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(reason="the body is JSON")
    try:
        return msgspec.json.decode(await request.read(), type=calls.Target)
    except msgspec.DecodeError as error:
        raise web.HTTPBadRequest(reason="the body is not a target") from error
