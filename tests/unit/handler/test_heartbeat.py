"""The handler's marks on its Node; Kubernetes and the intervals are doubles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import Unavailable
from virt_core.kube.resource import NODES, Resource
from virt_handler.node import heartbeat
from virt_handler.node.plan import marks

from tests.support.patience import PATIENCE


class ApiServer:
    """Takes merge patches of Nodes, refusing the first few."""

    def __init__(self, failures: int = 0) -> None:
        self.patches: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.failures = failures

    async def merge_patch(self, resource: Resource, namespace: str | None, name: str, body: dict[str, Any]) -> None:
        assert (resource, namespace, name) == (NODES, None, "node1")
        if self.failures:
            self.failures -= 1
            raise Unavailable(0, "refused")
        self.patches.put_nowait(body["metadata"])

    async def schedulable(self) -> str:
        """The value of the next heartbeat."""
        async with asyncio.timeout(PATIENCE):
            value: str = (await self.patches.get())["labels"]["kubevirt.io/schedulable"]
        return value


@asynccontextmanager
async def beating(server: ApiServer, *needed: asyncio.Event) -> AsyncIterator[None]:
    task = asyncio.create_task(heartbeat.run(cast(KubeClient, server), "node1", *needed))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def test_the_patch_holds_the_label_and_the_moment_and_nothing_else() -> None:
    now = datetime(2026, 1, 31, 10, 0, 1, tzinfo=UTC)
    assert marks(schedulable=True, now=now) == {
        "metadata": {
            "labels": {"kubevirt.io/schedulable": "true"},
            "annotations": {"kubevirt.io/heartbeat": "2026-01-31T10:00:01Z"},
        }
    }
    assert marks(schedulable=False, now=now)["metadata"]["labels"] == {"kubevirt.io/schedulable": "false"}


async def test_the_first_heartbeat_is_written_as_soon_as_all_parts_are_ready() -> None:
    server, serving, offered = ApiServer(), asyncio.Event(), asyncio.Event()
    async with beating(server, serving, offered):
        serving.set()
        await asyncio.sleep(0)
        assert server.patches.empty()
        offered.set()
        assert await server.schedulable() == "true"
    assert server.patches.empty(), "ending says nothing"


async def test_a_missing_part_is_marked_with_the_next_heartbeat_and_its_return_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heartbeat, "_INTERVAL", 0.01)
    server, offered = ApiServer(), asyncio.Event()
    async with beating(server, offered):
        assert await server.schedulable() == "false"
        offered.set()
        while await server.schedulable() == "false":
            continue
        assert await server.schedulable() == "true", "again a minute later"
        offered.clear()
        while await server.schedulable() == "true":
            continue


async def test_a_beat_that_is_refused_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "_AGAIN", 0.001)
    server, offered = ApiServer(failures=3), asyncio.Event()
    offered.set()
    async with beating(server, offered):
        assert await server.schedulable() == "true"
    assert server.failures == 0
