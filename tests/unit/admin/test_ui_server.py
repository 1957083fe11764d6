"""virtadm ui over HTTP: who is answered, what reaches the API server, and what does not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from virt_admin.outcome import CannotTell
from virt_admin.ui import relay
from virt_admin.ui.app import Server
from virt_admin.ui.board import Board, Changed
from virt_admin.ui.guard import KEY_HEADER
from virt_admin.ui.page import read_page
from virt_admin.ui.serve import listening, opener
from virt_admin.ui.session import cookie_name

from tests.support.guest_streams import BANNER, PROTOCOL, GuestServer
from tests.support.page_server import FILES, page_server, put_event, put_suite, put_vm
from tests.support.patience import PATIENCE

Opened = aiohttp.ClientWebSocketResponse


@pytest.fixture
async def api() -> AsyncIterator[GuestServer]:
    async with GuestServer.running() as server:
        assert isinstance(server, GuestServer)
        yield server


@pytest.fixture
async def page(api: GuestServer, tmp_path: Path) -> AsyncIterator[Server]:
    async with asyncio.timeout(PATIENCE), page_server(api, tmp_path, FILES) as server:
        yield server


class Browser:
    """A client with cookies that names its origin."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self.session, self.origin, self.key = session, f"http://127.0.0.1:{port}", ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Origin": self.origin, KEY_HEADER: self.key}

    async def enter(self, code: str) -> tuple[int, str]:
        async with self.session.post("/session", data={"code": code}, headers=self.headers) as response:
            text = await response.text()
            if response.status == 200:
                self.key = text.rpartition(" ")[2]
            return response.status, text

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.session.get(path, headers=self.headers) as response:
            return response.status, await response.json()

    async def post(self, path: str, **more: Any) -> tuple[int, Any]:
        async with self.session.post(path, headers=self.headers, **({"json": {}} | more)) as response:
            return response.status, await response.json()

    def open(self, path: str) -> Any:
        headers = {"Origin": self.origin}
        return self.session.ws_connect(path, headers=headers, protocols=("virtadm", f"key.{self.key}"))


@pytest.fixture
async def stranger(page: Server) -> AsyncIterator[Browser]:
    """Without a session."""
    jar = aiohttp.CookieJar(unsafe=True)  # keeps those of addresses, too
    async with aiohttp.ClientSession(f"http://127.0.0.1:{page.port}", cookie_jar=jar) as session:
        yield Browser(session, page.port)


@pytest.fixture
async def browser(page: Server, stranger: Browser) -> Browser:
    assert (await stranger.enter(page.session.code))[0] == 200
    return stranger


async def changes(feed: Opened, kind: str, *names: str) -> dict[str, Any]:
    """What the feed has of that kind, once it has all these names."""
    seen: dict[str, Any] = {}
    while not set(names) <= seen.keys():
        seen |= (await feed.receive_json()).get(kind, {})
    return seen


async def test_it_listens_on_127_0_0_1_alone(page: Server) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.2", page.port))  # free, so nothing listens on all addresses
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.2", page.port)


async def test_a_port_in_use_is_named(page: Server) -> None:
    with pytest.raises(CannotTell, match=f"cannot listen on 127.0.0.1:{page.port}"):
        async with listening(page.access, page.board, FILES, page.port):
            pass


async def test_a_stranger_sees_only_the_form_for_the_code(page: Server, stranger: Browser) -> None:
    async with stranger.session.get("/") as response:
        assert (await response.text()).startswith("enter ") and response.status == 200
    async with stranger.session.get("/enter") as response:
        text = await response.text()
        assert text.startswith("enter ") and " hidden " in text
    for path in ("/api/feed", "/api/vms/default/a/findings", "/api/vms/default/a/console"):
        assert (await stranger.get(path))[0] == 401
    for path in ("/api/vms/default/a/start", "/api/plan", "/api/suite/upgrade"):
        assert (await stranger.post(path))[0] == 401
    status, text = await stranger.enter("WRONG")
    assert status == 403 and text.startswith("enter ") and "hidden" not in text


async def test_the_code_becomes_a_cookie_that_no_script_reads(page: Server, stranger: Browser) -> None:
    async with stranger.session.post("/session", data={"code": page.session.code}, headers={"Origin": "null"}) as done:
        cookie = done.cookies[cookie_name(page.port)]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
        assert done.url.path == "/session" and not done.url.query_string
    async with stranger.session.get("/") as response:
        assert (await response.text()).startswith("index ")
    assert (await stranger.get("/api/vms/default/a/findings"))[0] == 401  # the cookie without the key
    assert (await stranger.enter(page.session.code))[0] == 403  # good once


@pytest.mark.parametrize(
    ("kind", "body"),
    [("x-www-form-urlencoded", b"code=\xff"), ("x-www-form-urlencoded; charset=none", b"code=A"), ("json", b"A")],
)
async def test_what_is_no_form_is_no_code(page: Server, stranger: Browser, kind: str, body: bytes) -> None:
    headers = {"Origin": stranger.origin, "Content-Type": f"application/{kind}"}
    async with stranger.session.post("/session", data=body, headers=headers) as response:
        assert response.status == 403 and "hidden" not in await response.text()
    assert (await stranger.enter(page.session.code))[0] == 200


async def test_every_response_has_the_policy_and_each_document_a_nonce(browser: Browser) -> None:
    nonces = set()
    for _ in range(2):
        async with browser.session.get("/") as response:
            nonces.add((await response.text()).split()[1])
            assert f"'nonce-{(await response.text()).split()[1]}'" in response.headers["Content-Security-Policy"]
    assert len(nonces) == 2
    for path in ("/", "/nothing", "/api/nothing", "/assets/nothing.js"):
        async with browser.session.get(path, headers=browser.headers) as response:
            assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert response.headers["X-Content-Type-Options"] == "nosniff" and response.headers["Cache-Control"]


async def test_another_origin_is_refused_with_cookie_and_key(browser: Browser, api: GuestServer) -> None:
    browser.origin = "http://evil.example"
    status, answer = await browser.post("/api/vms/default/a/stop")
    assert (status, answer["error"]) == (403, "requests of another origin are refused") and not api.commands
    for path in ("/api/feed", "/api/vms/default/a/console"):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await browser.open(path)


async def test_another_name_of_this_machine_is_refused(page: Server, browser: Browser) -> None:
    headers = {**browser.headers, "Host": f"evil.example:{page.port}", "Origin": f"http://evil.example:{page.port}"}
    async with browser.session.get("/", headers=headers) as response:
        assert response.status == 403


@pytest.mark.parametrize(
    ("action", "path", "body"),
    [
        ("start", "v1/namespaces/default/virtualmachines/a/start", {}),
        ("force-stop", "v1/namespaces/default/virtualmachines/a/stop", {"gracePeriod": 0}),
        ("migrate", "v1/namespaces/default/virtualmachines/a/migrate", {}),
        ("pause", "v1/namespaces/default/virtualmachineinstances/a/pause", {}),
    ],
)
async def test_an_action_calls_its_subresource(
    browser: Browser, api: GuestServer, action: str, path: str, body: dict[str, Any]
) -> None:
    assert (await browser.post(f"/api/vms/default/a/{action}"))[0] == 200
    assert api.commands == [(path, body)]


async def test_a_refused_action_says_what_the_api_server_says(browser: Browser, api: GuestServer) -> None:
    api.refusal = "VM is already running"
    assert await browser.post("/api/vms/default/a/start") == (409, {"error": "VM is already running"})


async def test_credentials_that_the_api_server_refuses_do_not_end_the_session(
    browser: Browser, api: GuestServer
) -> None:
    api.refusal, api.code = "Unauthorized", 401
    assert await browser.post("/api/vms/default/a/start") == (502, {"error": "Unauthorized"})


@pytest.mark.parametrize(
    "path",
    [
        "/api/vms/default/a/delete",
        "/api/vms/default/..%2Fsecrets/start",
        "/api/vms/default/a%2Fb/start",
        "/api/vms/Default/a/start",
        "/api/v1/secrets",
        "/apis/kubevirt.io/v1/virtualmachines",
        "/api/suite/delete",
    ],
)
async def test_nothing_else_reaches_the_api_server(browser: Browser, api: GuestServer, path: str) -> None:
    before = len(api.requests)
    for call in (browser.get, browser.post):
        assert (await call(path))[0] in (400, 404, 405)
    # Lists and watches are the board's.
    assert not api.commands and {method.split()[0] for method, _ in api.requests[before:]} <= {"LIST", "WATCH"}


@pytest.mark.parametrize("more", [{"json": None, "data": b"{}"}, {"json": {"command": 1}}, {"json": {"tag": 1}}])
async def test_a_request_of_the_suite_is_json_of_known_fields(browser: Browser, more: dict[str, Any]) -> None:
    assert (await browser.post("/api/suite/upgrade", **more))[0] in (400, 415)


async def test_the_feed_has_vms_events_and_suite_and_then_what_changes(browser: Browser, api: GuestServer) -> None:
    put_vm(api, "a", runs=True)
    put_vm(api, "b", runs=False)
    put_event(api, "e", "a", "no memory")
    async with browser.open("/api/feed") as feed:
        found = await changes(feed, "machines", "default/a", "default/b")
        assert (found["default/a"]["state"], found["default/a"]["addresses"]) == ("Running", ["10.244.1.7"])
        assert found["default/b"]["actions"] == ["start"]
        api.remove("/apis/kubevirt.io/v1/namespaces/default/virtualmachines/b")
        while found["default/b"] is not None:
            found = await changes(feed, "machines", "default/b")
    async with browser.open("/api/feed") as feed:
        assert (await changes(feed, "events", "default/e"))["default/e"]["note"] == "no memory"


async def test_of_one_namespace_only_its_vms_are_read(api: GuestServer, tmp_path: Path) -> None:
    put_vm(api, "a", runs=True, namespace="team-a")
    put_vm(api, "b", runs=True)
    async with asyncio.timeout(PATIENCE), page_server(api, tmp_path, FILES, "team-a") as page:
        seen: asyncio.Queue[Changed] = asyncio.Queue()
        page.board.subscribe(seen.put_nowait)
        while page.board.machine(("team-a", "a")) is None:
            await seen.get()
        assert page.board.machine(("default", "b")) is None


async def test_the_feed_has_the_suite_again_only_when_it_has_changed(browser: Browser, api: GuestServer) -> None:
    put_suite(api, phase="Deployed")
    async with browser.open("/api/feed") as feed:
        suites: list[Any] = []
        while not suites or suites[-1] is None or not suites[-1]["components"][-1]["ready"]:
            suites += [message["suite"] for message in [await feed.receive_json()] if "suite" in message]
        api.patch("/api/v1/namespaces/kubevirt/pods/virt-handler-1", {"metadata": {"annotations": {"a": "b"}}})
        put_vm(api, "a", runs=True)
        seen: dict[str, Any] = {}
        while "default/a" not in seen:
            message = await feed.receive_json()
            assert "suite" not in message or message["suite"]["guests"]["running"] == 1
            seen |= message.get("machines", {})


async def test_a_defect_ends_the_feed_so_that_the_page_opens_another(
    browser: Browser, page: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Board, "troubles", lambda _: object())
    async with browser.open("/api/feed") as feed:
        assert (await feed.receive()).type is aiohttp.WSMsgType.CLOSE


async def test_the_feed_says_what_it_cannot_follow(browser: Browser, api: GuestServer) -> None:
    async with browser.open("/api/feed") as feed:
        await api.down()
        troubles: list[str] = []
        while not any(trouble.startswith("VirtualMachines: ") for trouble in troubles):
            troubles = (await feed.receive_json()).get("troubles", troubles)


async def test_a_console_is_relayed_both_ways(browser: Browser, api: GuestServer) -> None:
    async with browser.open("/api/vms/default/a/console") as console:
        assert await console.receive_bytes() == BANNER
        await console.send_bytes(b"x\r")
        assert await console.receive_bytes() == b"x\r\n"
        assert await console.receive_bytes() == b"answer to x\r\n$ "
    assert api.protocols == [PROTOCOL]  # the page's key goes no further


async def test_a_console_ends_as_the_guest_ends_it(browser: Browser, api: GuestServer) -> None:
    api.farewell = (1001, b"the guest has moved")
    async with browser.open("/api/vms/default/a/console") as console:
        await console.receive_bytes()
        await console.send_bytes(b"exit\r")
        await console.receive_bytes()
        message = await console.receive()
        assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 1001, "the guest has moved")


async def test_a_refused_console_says_why(browser: Browser, api: GuestServer) -> None:
    api.refusal = "VMI is not running"
    async with browser.open("/api/vms/default/a/console") as console:
        message = await console.receive()
        assert (message.data, message.extra) == (4000, "VMI is not running")


async def test_a_display_is_relayed(browser: Browser) -> None:
    async with browser.open("/api/vms/default/a/vnc") as display:
        assert await display.receive_bytes() == b"RFB 003.008\n"


async def test_statistics_come_from_the_virt_handler_of_the_guests_node(browser: Browser, api: GuestServer) -> None:
    assert await browser.get("/api/vms/default/a/statistics") == (200, None)  # it does not run
    put_vm(api, "a", runs=True)
    put_suite(api)
    names = 'namespace="default",name="a"'
    memory = f"kubevirt_vmi_memory_available_bytes{{{names}}} 9\nkubevirt_vmi_memory_usable_bytes{{{names}}} 4"
    api.on_metrics = lambda: memory
    async with browser.open("/api/feed") as feed:
        await changes(feed, "machines", "default/a")
        found = None
        while found is None:  # until the suite is known, too
            _, found = await browser.get("/api/vms/default/a/statistics")
    assert (found["memoryBytes"], found["memoryMeaning"], found["cpuSeconds"]) == (5, "as the guest sees it", None)
    assert api.proxied[-1] == "/api/v1/namespaces/kubevirt/pods/https:virt-handler-1:8443/proxy/metrics"


async def test_findings_are_those_of_doctor(browser: Browser, api: GuestServer) -> None:
    status, found = await browser.get("/api/vms/default/a/findings")
    assert status == 200 and found[0]["object"] == "KubeVirt"  # nothing is installed


async def test_without_a_certificate_there_is_no_plan_and_the_page_is_told(browser: Browser) -> None:
    async with browser.session.post("/api/plan", json={"tag": "v2"}, headers=browser.headers) as response:
        assert "needs a kubeconfig with a client certificate" in (await response.json(content_type=None))["error"]
    status, answer = await browser.post("/api/suite/pause")
    assert status == 409 and "no KubeVirt object exists" in answer["error"]


async def test_the_file_that_opens_the_browser_is_for_this_user_alone(page: Server, tmp_path: Path) -> None:
    path = opener(tmp_path, page)
    assert path.stat().st_mode & 0o077 == 0
    assert page.session.code in path.read_text() and page.session.code not in path.as_uri()


def test_an_installation_without_the_page_says_so(tmp_path: Path) -> None:
    with pytest.raises(CannotTell, match="make page"):
        read_page(tmp_path)
    (tmp_path / "assets").mkdir()
    for name in ("index.html", "assets/main.js", "assets/unknown.wasm"):
        (tmp_path / name).write_text("@nonce@")
    files = read_page(tmp_path)
    assert files.keys() == {"/index.html", "/assets/main.js"}
    assert files["/index.html"].with_nonce("n") == b"n" and files["/assets/main.js"].with_nonce("n") == b"@nonce@"


@pytest.mark.parametrize(
    ("last", "code", "reason"),
    [
        (None, 1011, "the connection broke: Cannot write to closing transport"),
        (aiohttp.WSMessage(aiohttp.WSMsgType.CLOSE, 1001, "the guest has moved"), 1001, "the guest has moved"),
    ],
)
async def test_a_connection_that_breaks_while_somebody_types_has_not_just_ended(
    monkeypatch: pytest.MonkeyPatch, last: Any, code: int, reason: str
) -> None:
    monkeypatch.setattr(relay, "_LAST_WORD", 0.01 if last is None else PATIENCE)
    broken, never = asyncio.Event(), asyncio.Event()

    class Typing:
        async def receive(self) -> aiohttp.WSMessage:
            return aiohttp.WSMessage(aiohttp.WSMsgType.BINARY, b"x", "")

    class Broken:
        async def send_bytes(self, data: bytes) -> None:
            broken.set()
            raise ConnectionResetError("Cannot write to closing transport")

        async def receive(self) -> Any:
            await (never if last is None else broken).wait()
            return last

    end = await relay._join(cast(Any, Typing()), cast(Any, Broken()))
    assert (end.code, end.reason) == (code, reason)
