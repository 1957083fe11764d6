"""Trouble with nodes: when it is reported, and which nodes are marked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from virt_controller.node.health import trouble
from virt_controller.node.observe import Node
from virt_controller.node.reconcile import Nodes
from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import NODES
from virt_core.objects.meta import rfc3339
from virt_core.testing.api_server import FakeApiServer

from tests.support.patience import PATIENCE

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
UNREACHABLE = "node.kubernetes.io/unreachable"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def body(ready: str = "True", *taints: str, heartbeat: str | None = None, schedulable: str = "true") -> dict[str, Any]:
    annotations = {"kubevirt.io/heartbeat": heartbeat} if heartbeat is not None else {}
    return {
        "metadata": {
            "name": "node1",
            "uid": "node-uid",
            "annotations": annotations,
            "labels": {"kubevirt.io/schedulable": schedulable},
        },
        "spec": {"taints": [{"key": key, "effect": "NoExecute"} for key in taints]},
        "status": {"conditions": [{"type": "Ready", "status": ready, "message": "in the kubelet's words"}]},
    }


def reason(*args: Any, **kwargs: Any) -> str | None:
    node = msgspec.json.decode(json.dumps(body(*args, **kwargs)), type=Node)
    found = trouble("node1", node, NOW)
    assert found is None or "node1" in found.message
    return found.reason if found is not None else None


def ago(seconds: float) -> str:
    return rfc3339(NOW - timedelta(seconds=seconds))


def test_kinds_of_trouble_with_nodes_are_distinguished() -> None:
    assert reason() is None
    assert reason("Unknown") == reason("Unknown", UNREACHABLE) == reason("True", UNREACHABLE) == "NodeUnreachable"
    assert reason("False") == "NodeNotReady"
    assert reason("Unknown", UNREACHABLE, OUT_OF_SERVICE) == "NodeOutOfService"
    assert reason("True", OUT_OF_SERVICE) is None  # its kubelet still ends pods by itself


def test_only_a_deleted_node_or_one_out_of_service_has_lost_its_guests() -> None:
    gone = trouble("node1", None, NOW)
    assert gone is not None and gone.lost and gone.reason == "NodeDeleted"
    silent = trouble("node1", msgspec.json.decode(json.dumps(body("Unknown", UNREACHABLE)), type=Node), NOW)
    assert silent is not None and not silent.lost and "in the kubelet's words" in silent.message


@pytest.mark.parametrize(
    ("heartbeat", "expected"),
    [
        (None, None),
        (ago(-20), None),  # a clock that is ahead
        (ago(299), None),
        (ago(301), "HandlerUnresponsive"),
        ("2026-01-01T11:54:00.123456+00:00", "HandlerUnresponsive"),
        ("2026-01-01T11:54:00", "HandlerUnresponsive"),
        ("yesterday", None),
    ],
)
def test_a_handler_is_unresponsive_after_five_minutes_without_heartbeat(
    heartbeat: str | None, expected: str | None
) -> None:
    assert reason(heartbeat=heartbeat) == expected


class Watched:
    """Nodes at work, and the calls of a listener."""

    def __init__(self, client: KubeClient) -> None:
        self.changes: asyncio.Queue[str] = asyncio.Queue()
        self.cache = Reflector(client, NODES, Node)
        self.nodes = Nodes(client, self.cache)
        self.nodes.listen(self.changes.put_nowait)

    async def next(self) -> str | None:
        """The trouble of the node that is reported next."""
        async with asyncio.timeout(PATIENCE):
            found = self.nodes.trouble(await self.changes.get(), datetime.now(UTC))
        return found.reason if found is not None else None


@asynccontextmanager
async def at_work(client: KubeClient) -> AsyncIterator[Watched]:
    watched = Watched(client)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in (watched.cache.run(), watched.nodes.work())]
        async with asyncio.timeout(PATIENCE):
            await watched.cache.synced.wait()
        yield watched
        for task in tasks:
            task.cancel()


async def test_listeners_are_called_only_when_trouble_begins_and_ends(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.put(NODES.path(), body())
    async with at_work(client) as watched:
        await client.merge_patch(NODES, None, "node1", {"metadata": {"labels": {"other": "1"}}})
        await client.merge_patch(NODES, None, "node1", {"status": body("Unknown")["status"]}, "status")
        assert await watched.next() == "NodeUnreachable"
        await client.merge_patch(NODES, None, "node1", {"spec": body("Unknown", UNREACHABLE)["spec"]})
        server.patch(NODES.path(None, "node1"), {"spec": {"taints": []}, "status": body()["status"]})
        assert await watched.next() is None
        await client.delete(NODES, None, "node1")
        assert await watched.next() == "NodeDeleted"
        assert watched.changes.empty()
    assert server.count("LIST") == server.count("WATCH") == 1


async def test_a_node_whose_handler_fell_silent_is_marked_once(server: FakeApiServer, client: KubeClient) -> None:
    server.put(NODES.path(), body(heartbeat="2026-01-01T00:00:00Z"))
    async with at_work(client) as watched:
        assert await watched.next() == "HandlerUnresponsive"
        async with asyncio.timeout(PATIENCE):
            await server.received("PATCH", 1)
        node = await client.get(NODES, None, "node1")
        assert node["metadata"]["labels"] == {"kubevirt.io/schedulable": "false"}
        beat = {"metadata": {"annotations": {"kubevirt.io/heartbeat": rfc3339(datetime.now(UTC))}}}
        await client.merge_patch(NODES, None, "node1", beat)
        assert await watched.next() is None
    assert server.count("PATCH") == 2  # the mark and the test's own


async def test_a_node_that_no_handler_has_labelled_is_left_alone(server: FakeApiServer, client: KubeClient) -> None:
    server.put(NODES.path(), body(heartbeat="2026-01-01T00:00:00Z", schedulable="false"))
    async with at_work(client) as watched:
        assert await watched.next() == "HandlerUnresponsive"
        await client.delete(NODES, None, "node1")
        assert await watched.next() == "NodeDeleted"
    assert server.count("PATCH") == 0


async def test_a_node_that_is_made_again_is_reported_again(server: FakeApiServer, client: KubeClient) -> None:
    """What was reported of a deleted node is forgotten: names of nodes are generated in many clusters."""
    server.put(NODES.path(), body("Unknown"))
    async with at_work(client) as watched:
        for _ in range(2):
            assert await watched.next() == "NodeUnreachable"
            await client.delete(NODES, None, "node1")
            assert await watched.next() == "NodeDeleted"
            server.put(NODES.path(), body("Unknown"))
