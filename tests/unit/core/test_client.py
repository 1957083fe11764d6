"""What the client takes from its environment on the way to the API server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import Unavailable
from virt_core.kube.resource import NODES

SERVER = "http://api.example.com:6443"


@asynccontextmanager
async def proxy() -> AsyncIterator[tuple[str, list[web.BaseRequest]]]:
    """A server that answers every request with an empty list: its URL, and the requests."""
    requests: list[web.BaseRequest] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        requests.append(request)
        return web.json_response({"items": []})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", requests
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connected(server: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KubeClient]:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    async with KubeClient.connect("test") as client:
        yield client


async def test_requests_go_through_the_proxy_of_the_environment_and_not_to_hosts_that_it_excludes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxy() as (url, requests):
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("no_proxy", "other.example.com")
        async with connected(SERVER, tmp_path, monkeypatch) as client:
            assert await client.list(NODES) == []
        assert [request.host for request in requests] == ["api.example.com"]
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with connected(url, tmp_path, monkeypatch) as client:
            assert await client.list(NODES) == []


@pytest.mark.parametrize("excluded", ["::1", "[::1]", "[::1]:1"])
async def test_an_ipv6_address_is_excluded_from_the_proxy_as_others_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, excluded: str
) -> None:
    async with proxy() as (url, requests):
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("no_proxy", f"other.example.com,{excluded}")
        async with connected("http://[::1]:1", tmp_path, monkeypatch) as client:
            with pytest.raises(Unavailable):
                await client.list(NODES)
        assert requests == []


async def test_passwords_of_the_home_folder_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxy() as (url, requests):
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        async with connected(url, tmp_path, monkeypatch) as client:
            assert await client.list(NODES) == []
        assert [request.headers["Authorization"] for request in requests] == ["Bearer secret"]
