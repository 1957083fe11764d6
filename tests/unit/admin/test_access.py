"""kubeconfigs, read as kubectl reads them."""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from virt_admin.access import connected
from virt_admin.outcome import CannotTell
from virt_core.kube.resource import NODES
from virt_core.testing.api_server import FakeApiServer

from tests.support.authorities import Authority


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return tmp_path


def write(
    path: Path, name: str, server: str, user: dict[str, Any], *, namespace: str = "", current: bool = True
) -> Path:
    context = {"cluster": name, "user": name, **({"namespace": namespace} if namespace else {})}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        **({"current-context": name} if current else {}),
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": context}],
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(config))
    return path


async def test_the_first_of_several_files_names_the_current_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FakeApiServer
) -> None:
    here = f"http://127.0.0.1:{server.port}"
    server.put(NODES.path(), {"metadata": {"name": "n"}})
    files = [
        tmp_path / "missing",
        write(tmp_path / "nameless", "nameless", "http://127.0.0.1:1", {}, current=False),
        write(tmp_path / "first", "first", here, {}, namespace="vms"),
        write(tmp_path / "second", "second", "http://127.0.0.1:1", {}, namespace="others"),
    ]
    monkeypatch.setenv("KUBECONFIG", ":".join(map(str, files)))
    async with connected(None, None, None) as access:
        assert [node["metadata"]["name"] for node in await access.client.list(NODES)] == ["n"]
        assert (access.namespace, access.certificate) == ("vms", None)
    async with connected(None, "second", None) as access:
        assert access.namespace == "others"
    async with connected(None, "nameless", "own") as access:
        assert access.namespace == "own"


async def test_the_flag_counts_before_the_variable_and_the_file_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / ".kube" / "config", "home", "http://127.0.0.1:1", {}, namespace="home")
    async with connected(None, None, None) as access:
        assert access.namespace == "home"
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path / "b", "b", "http://127.0.0.1:1", {}, namespace="variable")))
    async with connected(None, None, None) as access:
        assert access.namespace == "variable"
    async with connected(str(write(tmp_path / "c", "c", "http://127.0.0.1:1", {})), None, None) as access:
        assert access.namespace == "default"


async def test_an_exec_plugin_gives_the_token(tmp_path: Path, server: FakeApiServer) -> None:
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "from-plugin"},
    }
    command = {
        "apiVersion": credential["apiVersion"],
        "command": sys.executable,
        "args": ["-c", f"print({json.dumps(json.dumps(credential))})"],
    }
    path = write(tmp_path / "config", "a", f"http://127.0.0.1:{server.port}", {"exec": command})
    async with connected(str(path), None, None) as access:
        assert (await access.client._headers())["authorization"] == "Bearer from-plugin"
        assert access.certificate is None


async def test_a_client_certificate_is_kept_for_peers(tmp_path: Path) -> None:
    folder = Authority("cluster").write_leaf(tmp_path / "leaf", "alice")
    user = {"client-certificate": "leaf/tls.crt", "client-key": "leaf/tls.key"}
    path = write(tmp_path / "config", "a", "https://127.0.0.1:1", user)
    async with connected(str(path), None, None) as access:
        assert access.certificate is not None
        assert access.certificate.certificate == (folder / "tls.crt").read_bytes()
        assert access.certificate.key == (folder / "tls.key").read_bytes()


@pytest.mark.parametrize(
    ("text", "context", "message"),
    [
        (None, None, "no kubeconfig"),
        ("", None, "cannot be used"),
        ("{]", None, "cannot be used"),
        ("a", "other", "other"),
        ("nameless", None, "has no current-context"),
        ("impersonating", None, "impersonates another user"),
        ("plugin", None, "exec: process returned 3"),
    ],
)
async def test_what_cannot_be_used_is_named(
    tmp_path: Path, text: str | None, context: str | None, message: str
) -> None:
    path = tmp_path / "config"
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", "exit 3"]}
    users: dict[str, dict[str, Any]] = {"impersonating": {"as": "root"}, "plugin": {"exec": plugin}}
    if text in ("a", "nameless", *users):
        write(path, "a", "http://127.0.0.1:1", users.get(str(text), {}), current=text != "nameless")
    elif text is not None:
        path.write_text(text)
    with pytest.raises(CannotTell, match=message):
        async with connected(str(path), context, None):
            pytest.fail("connected")


def from_python_3_13(*args: Any, **parameters: Any) -> ssl.SSLContext:
    """The context that Python makes by default from that version on."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(parameters.get("cafile"), parameters.get("capath"), parameters.get("cadata"))
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    return made


@pytest.mark.parametrize("strict", [False, True])
async def test_the_way_of_the_kubeconfig_is_taken_to_a_name_of_the_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strict: bool
) -> None:
    folder = Authority("cluster").write_leaf(tmp_path / "leaf", "kubernetes", "kubernetes")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    if strict:
        monkeypatch.setattr(ssl, "create_default_context", from_python_3_13)
    async with serving(tls) as (address, _):
        path = write(tmp_path / "config", "a", f"https://{address}", {})
        config = json.loads(path.read_text())
        config["clusters"][0]["cluster"] |= {
            "certificate-authority": "leaf/ca.crt",
            "tls-server-name": "kubernetes",
        }
        path.write_text(json.dumps(config))
        async with connected(str(path), None, None) as access:
            assert await access.client.list(NODES) == []
            async with access.client.stream(NODES.path(), {}, 5) as body:
                assert await body.read() == b'{"items": []}'


async def test_requests_go_through_the_proxy_of_the_kubeconfig(tmp_path: Path) -> None:
    async with serving(None) as (address, hosts):
        path = write(tmp_path / "config", "a", "http://api.example.com:6443", {})
        config = json.loads(path.read_text())
        config["clusters"][0]["cluster"]["proxy-url"] = f"http://{address}"
        path.write_text(json.dumps(config))
        async with connected(str(path), None, None) as access:
            assert await access.client.list(NODES) == []
        assert hosts == ["api.example.com"]


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that answers every request with an empty list: its address, and the hosts that were asked for."""
    hosts: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        hosts.append(request.host)
        return web.json_response({"items": []})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}", hosts
    finally:
        await runner.cleanup()
