"""Reviews do not block the event loop that carries consoles, whoever sends them."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application
from virt_api.admission import webhooks as admission
from virt_api.errors import BadRequest, ServiceUnavailable
from virt_core.conventions.webhooks import VALIDATE_CREATE
from virt_core.objects.admission_review import LARGEST_REVIEW
from virt_core.objects.kubevirt import Configuration

NO_CLIENT: Any = None  # reviews of VirtualMachineInstances read nothing
LOAD: Any = SimpleNamespace(current=Configuration(), unknown="")


def large() -> bytes:
    """A review of an object of 3 MiB, of which every part is looked at."""
    disks = [{"name": f"d{number}", "disk": {"bus": "virtio", "x": number}} for number in range(60_000)]
    spec = {"domain": {"devices": {"disks": disks}, "memory": {"guest": "64Mi"}}}
    request = {"uid": "u", "operation": "CREATE", "object": {"metadata": {"name": "n"}, "spec": spec}}
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "request": request}).encode()


async def test_a_large_object_is_decided_beside_the_loop() -> None:
    handler = admission.webhooks(NO_CLIENT, LOAD, ())[VALIDATE_CREATE]
    application = Application(client_max_size=LARGEST_REVIEW)
    application.router.add_post(VALIDATE_CREATE, handler)
    body = large()
    assert 3 << 20 < len(body) < LARGEST_REVIEW
    async with TestClient(TestServer(application)) as client:
        posting = asyncio.create_task(client.post(VALIDATE_CREATE, data=io.BytesIO(body)), name="review")
        turns = 0
        while not posting.done():
            await asyncio.sleep(0)
            turns += 1
        answer = await (await posting).json()
    assert answer["response"]["allowed"] is False
    assert turns > 100


class Slow:
    """A request whose body arrives when `end` is set."""

    path = VALIDATE_CREATE

    def __init__(self) -> None:
        self.arrived, self.end = asyncio.Event(), asyncio.Event()

    async def read(self) -> bytes:
        self.arrived.set()
        await self.end.wait()
        return b"{}"


@asynccontextmanager
async def one_in_work(handler: admission.Handler) -> AsyncIterator[Slow]:
    """A review that the handler works on."""
    slow = Slow()
    held = asyncio.create_task(handler(cast(Any, slow)), name="slow review")
    await slow.arrived.wait()
    yield slow
    slow.end.set()
    await asyncio.wait([held])
    with pytest.raises(BadRequest):
        held.result()


async def test_a_review_beyond_the_limit_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_MOST_REVIEWS", 1)
    handler = admission.webhooks(NO_CLIENT, LOAD, ())[VALIDATE_CREATE]
    async with one_in_work(handler) as first:
        second = Slow()
        second.end.set()
        waiting = asyncio.create_task(handler(cast(Any, second)), name="waiting review")
        await asyncio.sleep(0)
        assert not second.arrived.is_set()
        first.end.set()
        with pytest.raises(BadRequest, match="not an AdmissionReview"):
            await waiting


@pytest.mark.parametrize(
    ("limit", "value", "message"), [("_TURN", 0.01, "1 reviews are in work"), ("_MOST_WAITING", 0, "waiting")]
)
async def test_a_review_whose_turn_does_not_come_is_refused(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: float, message: str
) -> None:
    monkeypatch.setattr(admission, "_MOST_REVIEWS", 1)
    handler = admission.webhooks(NO_CLIENT, LOAD, ())[VALIDATE_CREATE]
    async with one_in_work(handler):
        monkeypatch.setattr(admission, limit, value)
        with pytest.raises(ServiceUnavailable, match=message):
            await handler(cast(Any, Slow()))


async def test_a_review_that_does_not_arrive_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_ARRIVAL", 0.01)
    handler = admission.webhooks(NO_CLIENT, LOAD, ())[VALIDATE_CREATE]
    with pytest.raises(BadRequest, match="did not arrive"):
        await handler(cast(Any, Slow()))


async def test_a_review_that_is_cancelled_frees_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_MOST_REVIEWS", 1)
    handler = admission.webhooks(NO_CLIENT, LOAD, ())[VALIDATE_CREATE]
    slow = Slow()
    held = asyncio.create_task(handler(cast(Any, slow)), name="slow review")
    await slow.arrived.wait()
    held.cancel()
    await asyncio.wait([held])
    slow.end.set()
    with pytest.raises(BadRequest, match="not an AdmissionReview"):
        await handler(cast(Any, slow))
