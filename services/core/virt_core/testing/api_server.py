"""A small fake of the Kubernetes API server, over real HTTP, for KubeClient, Reflector, Lease and executors.

It stores objects of any resource, without validation or defaults, and has faults that a test can enable. The checks of
`conformance` define what it has in common with the real API server, including server-side apply, finalizers and
graceful deletion. Tests supply admission. There are no controllers: no garbage collection, scheduler or kubelet.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from virt_core.testing.history import Matches, Object
from virt_core.testing.place import Place, subresource_of
from virt_core.testing.refused import Refused
from virt_core.testing.reviews import Reviews
from virt_core.testing.selection import selection
from virt_core.testing.store import Store, Writer
from virt_core.testing.writes import Deletion, Part

_PATIENCE = 180.0  # seconds: a guard against a test that hangs, on a busy machine too


class FakeApiServer:
    """Listens on 127.0.0.1 between `up` and `down`, on the same port each time. Make it with `running`."""

    def __init__(self) -> None:
        self.store = Store()
        self.reviews = Reviews()
        self.requests: list[tuple[str, str]] = []
        """In order: ("GET", "LIST", "WATCH <resourceVersion>", "POST", "PATCH" or "DELETE"; path)."""
        self.admit: Callable[[Place, Object], None] = lambda _place, _body: None
        """Called with the collection before an object is created in it; may raise Refused."""
        self.fault: Callable[[str, Place], None] = lambda _method, _place: None
        """Called with the method and the place of each request for a single object; may raise Refused."""
        self.undefined: set[str] = set()
        """Plurals of kinds whose definitions do not exist: every request for them is answered 404."""
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._stirred = asyncio.Event()  # replaced at each change, so that every waiting watch wakes up
        self._received = asyncio.Event()
        self._pages: dict[str, tuple[str, list[Object]]] = {}  # further ones of lists, with the lists' versions
        self._forgotten = 0  # how many of the next further pages are refused
        self._connections = 0  # counts cuts: a watch of an earlier number ends
        self._silent = False
        self._gone_as_event = True

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[FakeApiServer]:
        """A running server."""
        server = cls()
        await server.up()
        try:
            yield server
        finally:
            await server.down()

    @property
    def port(self) -> int:
        """On 127.0.0.1, once it has been up."""
        return self._port

    def write_kubeconfig(self, path: Path) -> Path:
        """A kubeconfig for this server, without credentials."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{self._port}"}}],
            "users": [{"name": "fake", "user": {}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        }
        path.write_text(json.dumps(config))
        return path

    async def up(self) -> None:
        """Listen (again)."""
        application = web.Application(client_max_size=16 * 1024 * 1024)
        application.router.add_get("/version", self._version)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def down(self) -> None:
        """Close every connection and refuse new ones; the objects stay."""
        self.cut()
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    def cut(self) -> None:
        """Close all watches gracefully."""
        self._connections += 1
        self.stir()

    def hang(self, silent: bool = True) -> None:
        """Keep watches open and silent until ``hang(False)``."""
        self._silent = silent
        self.stir()

    def bookmark(self) -> None:
        """Send every watch a bookmark with the newest version."""
        self.store.bookmark()
        self.stir()

    def compact(self, as_event: bool = True) -> None:
        """Forget the history: watches from versions seen until now get 410, as an ERROR event or as HTTP status, and
        so do further pages of lists."""
        self._gone_as_event = as_event
        self._pages.clear()
        self.store.compact()

    def forget_pages(self, count: int) -> None:
        """Answer the next `count` requests for further pages of lists with 410."""
        self._forgotten = count

    async def received(self, method: str, count: int) -> None:
        """Wait until `count` requests of that method ("WATCH" whatever its version) have come since the start.

        Raises:
            TimeoutError: they have not come in three minutes.
        """
        try:
            async with asyncio.timeout(_PATIENCE):
                while self.count(method) < count:
                    await self._received.wait()
        except TimeoutError as error:
            raise TimeoutError(f"{self.count(method)} {method}, not {count}, came: {self.requests[-20:]}") from error

    def count(self, method: str) -> int:
        """How many requests of that method have come since the start."""
        return sum(received.split()[0] == method for received, _ in self.requests)

    def put(self, path: str, body: Object) -> Object:
        """Create an object directly, in the collection `path`, with its status."""
        created = self.store.create(Place.parse(path), body)
        self.stir()
        return created

    def patch(self, path: str, body: Object) -> Object:
        """Merge `body` into the object directly, status included, as its kubelet or controller would."""
        patched = self.store.merge_patch(Place.parse(path), body)
        self.stir()
        return patched

    def remove(self, path: str) -> None:
        """End the deletion of an object, or delete it directly: no grace, no finalizers."""
        self.store.remove(Place.parse(path))
        self.stir()

    def stir(self) -> None:
        """Wake every watch up, for tests that write to `store` directly."""
        self._stirred.set()
        self._stirred = asyncio.Event()

    def _note(self, method: str, path: str) -> None:
        self.requests.append((method, path))
        self._received.set()
        self._received = asyncio.Event()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        place = Place.parse(request.path)
        try:
            if place.plural in self.undefined:
                self._note("UNDEFINED", request.path)
                raise Refused(404, "NotFound", "the server could not find the requested resource")
            if request.method == "GET" and not place.name:
                return await self._collection(request, place)
            self._note(request.method, request.path)
            body = json.loads(await request.read() or "{}")
            self.fault(request.method, place)
            answer = self._single(request, place, body)
        except Refused as refused:
            return web.json_response(_status(refused), status=refused.code)
        self.stir()
        return web.json_response(answer, status=201 if request.method == "POST" else 200)

    async def _version(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"major": "1", "minor": "34", "gitVersion": "v1.34.4"})

    def _single(self, request: web.Request, place: Place, body: Any) -> Object:
        if request.method == "GET":
            return self.store.get(place)
        writer = _writer(request)
        if request.method == "POST":
            if place.name:
                raise Refused(404, "NotFound", "the server could not find the requested resource")
            self.admit(place, body)
            return self.reviews.answer(place.plural, body) or self.store.create(place, body, writer)
        if request.method == "DELETE":
            conditions = body.get("preconditions", {})
            options = Deletion(conditions.get("uid"), conditions.get("resourceVersion"), body.get("gracePeriodSeconds"))
            return self.store.delete(place, options, writer.dry_run)
        match request.content_type:
            case "application/json-patch+json":
                return self.store.json_patch(place, body, writer)
            case "application/merge-patch+json":
                return self.store.merge_patch(place, body, writer)
            case "application/apply-patch+yaml":  # JSON is YAML; the client writes JSON
                return self.store.apply(place, body, writer, request.query.get("force") == "true")
        raise Refused(415, "UnsupportedMediaType", f"{request.method} {request.content_type}")

    async def _collection(self, request: web.Request, place: Place) -> web.StreamResponse:
        matches = selection(request.query.get("labelSelector", ""), request.query.get("fieldSelector", ""))
        if "watch" in request.query:
            version = request.query["resourceVersion"]
            self._note(f"WATCH {version}", request.path)
            return await self._watch(request, place, int(version), matches)
        self._note("LIST", request.path)
        if following := request.query.get("continue", ""):
            self._forgotten -= 1
            if following not in self._pages or self._forgotten >= 0:
                raise Refused(410, "Expired", "The provided continue parameter is too old")
            version, items = self._pages[following]
        else:
            version, items = str(self.store.version), self.store.select(place, matches)
        metadata, limit = {"resourceVersion": version}, int(request.query.get("limit", "0"))
        if limit and len(items) > limit:
            metadata["continue"] = secrets.token_hex(8)
            self._pages[metadata["continue"]] = version, items[limit:]
            items = items[:limit]
        return web.json_response({"kind": "List", "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request, place: Place, since: int, matches: Matches) -> web.StreamResponse:
        gone = Refused(410, "Expired", f"too old resource version: {since} ({self.store.oldest})")
        if since < self.store.oldest and not self._gone_as_event:
            raise gone
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if since < self.store.oldest:
            await response.write(_line({"type": "ERROR", "object": _status(gone)}))
            return response
        connection = self._connections
        while connection == self._connections:
            stirred = self._stirred
            if not self._silent:
                events = list(self.store.events(place, since, matches))
                since = self.store.version
                for event in events:
                    await response.write(_line(event))
            if stirred is self._stirred:
                await stirred.wait()
        return response


def _writer(request: web.Request) -> Writer:
    agent = request.headers.get("User-Agent", "unknown").split("/")[0]
    part = Part.STATUS if subresource_of(request.path) in ("status", "approval") else Part.OBJECT
    return Writer(request.query.get("fieldManager", agent), part, request.query.get("dryRun") == "All")


def _line(event: Object) -> bytes:
    return json.dumps(event).encode() + b"\n"


def _status(refused: Refused) -> Object:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": refused.message,
        "reason": refused.reason,
        "code": refused.code,
    }
