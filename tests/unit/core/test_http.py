"""The answer to the readiness probe."""

from __future__ import annotations

import asyncio

import pytest
from virt_core import http

from tests.support.patience import PATIENCE
from tests.support.probes import ask, free_port


@pytest.fixture
def port() -> int:
    return free_port()


async def test_503_until_ready_then_200_and_nothing_to_what_is_no_request(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_HOLD", 0.01)
    ready = asyncio.Event()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        serving = group.create_task(http.serve(port, ready.wait), name="http")
        assert (await ask(port)).startswith(b"HTTP/1.1 503 ")
        ready.set()
        assert (await ask(port)).startswith(b"HTTP/1.1 200 ")
        assert (await ask(port, b"GET /metrics HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 404 ")
        assert (await ask(port, b"\r\n\r\n")).startswith(b"HTTP/1.1 404 ")
        assert await ask(port, b"nonsense") == b""
        assert await ask(port, b"x" * 15_000) == b""
        ready.clear()
        assert (await ask(port)).startswith(b"HTTP/1.1 503 ")
        serving.cancel()


async def test_a_probe_that_comes_early_is_answered_when_the_process_is_ready(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_HOLD", 5)
    probed, ready = asyncio.Event(), asyncio.Event()

    async def until_ready() -> None:
        probed.set()
        await ready.wait()

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        serving = group.create_task(http.serve(port, until_ready), name="http")
        answer = group.create_task(ask(port), name="probe")
        await probed.wait()
        ready.set()
        assert (await answer).startswith(b"HTTP/1.1 200 ")
        serving.cancel()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_the_probe_is_answered_on_both_families(port: int, address: str) -> None:
    ready = asyncio.Event()
    ready.set()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        serving = group.create_task(http.serve(port, ready.wait), name="http")
        assert (await ask(port, address=address)).startswith(b"HTTP/1.1 200 ")
        serving.cancel()
