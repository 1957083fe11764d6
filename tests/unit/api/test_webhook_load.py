"""Reviews do not block the event loop that carries consoles, whoever sends them."""

from __future__ import annotations

import asyncio
import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application
from virt_api.admission import webhooks as admission
from virt_api.errors import ServiceUnavailable
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


async def test_reviews_beyond_the_limit_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_MOST_REVIEWS", 1)
    handler = admission.webhooks(NO_CLIENT, LOAD, ())[VALIDATE_CREATE]
    arrived, end = asyncio.Event(), asyncio.Event()

    async def body() -> bytes:
        arrived.set()
        await end.wait()
        return b"{}"

    slow: Any = SimpleNamespace(read=body, path=VALIDATE_CREATE)
    held = asyncio.create_task(handler(slow), name="slow review")
    await arrived.wait()
    with pytest.raises(ServiceUnavailable, match="in work"):
        await handler(slow)
    held.cancel()
    await asyncio.wait([held])
    end.set()
    with pytest.raises(Exception, match="not an AdmissionReview"):
        await handler(slow)
