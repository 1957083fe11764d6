"""Which requests virtadm ui refuses, whoever sends them."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict
from virt_admin.ui.guard import Asked, headers, refusal
from virt_admin.ui.session import Session, cookie_name

PORT = 5000
OWN = "http://127.0.0.1:5000"


def why(method: str = "GET", path: str = "/", host: str = "127.0.0.1:5000", **given: str) -> str:
    named = {name.replace("_", "-"): value for name, value in given.items()}
    return refusal(Asked(method, path, CIMultiDict({"Host": host, **named})), PORT)


@pytest.mark.parametrize("host", ["127.0.0.1:5000", "localhost:5000"])
def test_the_page_itself_is_answered(host: str) -> None:
    assert not why(host=host, Sec_Fetch_Site="none")
    assert not why("POST", "/api/plan", host, Origin=f"http://{host}", Sec_Fetch_Site="same-origin")
    assert not why("GET", "/api/feed", host, Origin=f"http://{host}", Upgrade="websocket")


@pytest.mark.parametrize("host", ["", "evil.example:5000", "127.0.0.1", "127.0.0.1:80", "localhost.evil:5000"])
def test_a_name_that_resolves_to_this_machine_is_refused(host: str) -> None:
    assert "127.0.0.1 and localhost" in why(host=host)


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:5001", "https://127.0.0.1:5000", "null"])
def test_another_origin_is_refused_whatever_it_does(origin: str) -> None:
    for method, more in (("GET", {}), ("POST", {}), ("GET", {"Upgrade": "websocket"})):
        assert "another origin" in why(method, "/api/feed", Origin=origin, **more)


def test_what_changes_something_names_its_origin() -> None:
    assert "another origin" in why("POST", "/api/plan")
    assert "another origin" in why("GET", "/api/feed", Upgrade="WebSocket")
    assert "another origin" in why("GET", host="localhost:5000", Origin=OWN)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_is_refused_also_where_a_browser_names_no_origin(site: str) -> None:
    assert "another site" in why(path="/", Sec_Fetch_Site=site)


def test_only_the_code_may_come_from_a_file() -> None:
    assert not why("POST", "/session", Origin="null", Sec_Fetch_Site="cross-site")
    assert why("POST", "/session", Origin="http://evil.example")
    assert why("POST", "/session", host="evil.example", Origin="null")
    assert why("GET", "/session", Origin="null")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "CONNECT"])
def test_other_methods_are_refused(method: str) -> None:
    assert "only GET and POST" in why(method, Origin=OWN)


def test_the_key_is_a_header_or_a_subprotocol() -> None:
    assert Asked("GET", "/", CIMultiDict({"x-virtadm-key": "a"})).key == "a"
    assert Asked("GET", "/", CIMultiDict({"Sec-WebSocket-Protocol": "virtadm, key.b"})).key == "b"
    assert not Asked("GET", "/", CIMultiDict()).key


def test_the_policy_allows_no_script_but_the_pages_own() -> None:
    policy = headers("n0")["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self';" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "'nonce-n0'" in policy and "http" not in policy


def test_a_code_is_good_once_however_it_is_written() -> None:
    session = Session()
    assert not session.exchange("") and not session.exchange("AAAA")
    assert session.exchange(f" {session.code.lower().replace('-', ' ')} ")
    assert not session.exchange(session.code)


def test_cookie_and_key_are_both_needed() -> None:
    session, other = Session(), Session()
    assert session.knows(session.cookie, session.key)
    assert not session.knows(session.cookie, "") and not session.knows("", session.key)
    assert not session.knows(other.cookie, session.key) and not session.knows(session.cookie, other.key)
    assert not session.knows(session.cookie, "\udcff") and not session.knows("\udcff", session.key)
    assert len({session.code, session.cookie, session.key, other.code, other.cookie, other.key}) == 6
    assert cookie_name(1) != cookie_name(2)
