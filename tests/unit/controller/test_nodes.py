"""Trouble with nodes: when it is reported, and which nodes are marked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from virt_controller.node.health import trouble
from virt_controller.node.observe import Node
from virt_controller.node.reconcile import Nodes
from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import NODES
from virt_core.testing.api_server import FakeApiServer

from tests.support import virtual_time
from tests.support.patience import PATIENCE

BEAT = "2026-01-01T00:00:00Z"
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


def reason(*args: Any, silence: float = 0.0) -> str | None:
    node = msgspec.json.decode(json.dumps(body(*args, heartbeat=BEAT)), type=Node)
    found = trouble("node1", node, silence)
    assert found is None or "node1" in found.message
    return found.reason if found is not None else None


def test_kinds_of_trouble_with_nodes_are_distinguished() -> None:
    assert reason() is None
    assert reason("Unknown") == reason("Unknown", UNREACHABLE) == reason("True", UNREACHABLE) == "NodeUnreachable"
    assert reason("False") == "NodeNotReady"
    assert reason("Unknown", UNREACHABLE, OUT_OF_SERVICE) == "NodeOutOfService"
    assert reason("True", OUT_OF_SERVICE) is None  # its kubelet still ends pods by itself


def test_only_a_deleted_node_or_one_out_of_service_has_lost_its_guests() -> None:
    gone = trouble("node1", None, 0.0)
    assert gone is not None and gone.lost and gone.reason == "NodeDeleted"
    silent = trouble("node1", msgspec.json.decode(json.dumps(body("Unknown", UNREACHABLE)), type=Node), 0.0)
    assert silent is not None and not silent.lost and "in the kubelet's words" in silent.message


def test_a_handler_is_unresponsive_after_five_minutes_without_heartbeat() -> None:
    assert [reason(silence=seconds) for seconds in (0, 300, 301)] == [None, None, "HandlerUnresponsive"]


class Watched:
    """Nodes at work, and the calls of a listener."""

    def __init__(self, client: KubeClient) -> None:
        self.changes: asyncio.Queue[str] = asyncio.Queue()
        self.seconds = 0.0
        self.cache = Reflector(client, NODES, Node)
        self.nodes = Nodes(client, self.cache, clock=lambda: self.seconds)
        self.nodes.listen(self.changes.put_nowait)
        self._changed = asyncio.Event()
        self.cache.subscribe(lambda _: self._changed.set())

    async def next(self) -> str | None:
        """The trouble of the node that is reported next."""
        async with asyncio.timeout(PATIENCE):
            found = self.nodes.trouble(await self.changes.get())
        return found.reason if found is not None else None

    async def pass_time(self, client: KubeClient, seconds: float) -> None:
        """Then something changes in the node, so that it is looked at; once, because it has been looked at before."""
        await self.change(client, labels={"other": f"before {self.seconds}"})
        self.seconds += seconds
        await self.change(client, labels={"other": str(self.seconds)})

    async def change(self, client: KubeClient, **metadata: Any) -> None:
        """Return when the cache has seen it."""
        written = await client.merge_patch(NODES, None, "node1", {"metadata": metadata})
        async with asyncio.timeout(PATIENCE):
            while not self.cache.has_seen(written["metadata"]["resourceVersion"]):
                self._changed.clear()
                await self._changed.wait()


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
    server.put(NODES.path(), body(heartbeat=BEAT))
    async with at_work(client) as watched:
        await watched.pass_time(client, 301)
        assert await watched.next() == "HandlerUnresponsive"
        async with asyncio.timeout(PATIENCE):
            await server.received("PATCH", 3)
        node = await client.get(NODES, None, "node1")
        assert node["metadata"]["labels"]["kubevirt.io/schedulable"] == "false"
        await watched.change(client, annotations={"kubevirt.io/heartbeat": "2026-01-01T00:05:02Z"})
        assert await watched.next() is None
    assert server.count("PATCH") == 4  # the mark and the test's own three


@pytest.mark.parametrize("heartbeat", ["1970-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "yesterday"])
async def test_a_node_whose_clock_is_wrong_is_judged_by_when_its_heartbeat_changes(
    server: FakeApiServer, client: KubeClient, heartbeat: str
) -> None:
    server.put(NODES.path(), body(heartbeat=heartbeat))
    async with at_work(client) as watched:
        await watched.pass_time(client, 250)
        await watched.change(client, annotations={"kubevirt.io/heartbeat": f"{heartbeat} and 250 s"})
        await watched.pass_time(client, 250)
        await watched.pass_time(client, 51)
        assert await watched.next() == "HandlerUnresponsive"
        assert watched.seconds == 551 and watched.changes.empty()


async def test_a_node_that_no_handler_has_labelled_is_left_alone(server: FakeApiServer, client: KubeClient) -> None:
    server.put(NODES.path(), body(heartbeat=BEAT, schedulable="false"))
    async with at_work(client) as watched:
        await watched.pass_time(client, 301)
        assert await watched.next() == "HandlerUnresponsive"
        await client.delete(NODES, None, "node1")
        assert await watched.next() == "NodeDeleted"
    assert server.count("PATCH") == 2  # the test's own


class Still(dict[tuple[str, str], Node]):
    """A cache in which nothing changes after the first list."""

    def __init__(self, node: Node) -> None:
        super().__init__({("", node.metadata.name): node})
        self.synced = asyncio.Event()
        self.listed: list[Callable[[tuple[str, str]], None]] = []

    def subscribe(self, changed: Callable[[tuple[str, str]], None]) -> None:
        self.listed.append(changed)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())


def test_a_handler_that_falls_silent_is_noticed_although_its_node_does_not_change() -> None:
    async def check() -> None:
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        cache: Any = Still(msgspec.convert(body(heartbeat=BEAT, schedulable="false"), Node))
        nodes = Nodes(None, cache)  # type: ignore[arg-type]
        nodes.listen(lambda _: heard.set())
        cache.listed[0](("", "node1"))
        cache.synced.set()
        work = asyncio.create_task(nodes.work())
        await heard.wait()
        work.cancel()
        assert 300 < loop.time() < 305

    virtual_time.run(check())


async def test_a_node_that_is_made_again_is_reported_again(server: FakeApiServer, client: KubeClient) -> None:
    """What was reported of a deleted node is forgotten: names of nodes are generated in many clusters."""
    server.put(NODES.path(), body("Unknown"))
    async with at_work(client) as watched:
        for _ in range(2):
            assert await watched.next() == "NodeUnreachable"
            await client.delete(NODES, None, "node1")
            assert await watched.next() == "NodeDeleted"
            server.put(NODES.path(), body("Unknown"))
