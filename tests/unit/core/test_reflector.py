"""The cache of a collection, through failures of the API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Key, Reflector, Timing
from virt_core.kube.resource import CONFIG_MAPS
from virt_core.objects.meta import ObjectMeta
from virt_core.testing.api_server import FakeApiServer

from tests.support.patience import PATIENCE

PATH = CONFIG_MAPS.path("ns")
DEEPER = 20_000  # levels; what the client allows is 12,000


class ConfigMap(msgspec.Struct):
    """Strict enough that ``data: {"a": 5}`` does not decode."""

    metadata: ObjectMeta
    data: dict[str, str] = {}


class Watched:
    """A running reflector and the keys that it reported."""

    def __init__(self, client: KubeClient, selected: str = "", **seconds: float) -> None:
        self.changes: asyncio.Queue[Key] = asyncio.Queue()
        timing = Timing(**seconds)
        self.reflector = Reflector(
            client, CONFIG_MAPS, ConfigMap, self.changes.put_nowait, namespace="ns", labels=selected, timing=timing
        )

    def names(self) -> set[str]:
        return {pod.metadata.name for pod in self.reflector}

    async def next(self) -> str:
        async with asyncio.timeout(PATIENCE):
            return (await self.changes.get())[1]

    def labels(self, name: str) -> dict[str, str]:
        found = self.reflector.get(("ns", name))
        assert found is not None
        return found.metadata.labels


@asynccontextmanager
async def watching(client: KubeClient, selected: str = "", **seconds: float) -> AsyncIterator[Watched]:
    watched = Watched(client, selected, **seconds)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(watched.reflector.run(), name="reflector")
        async with asyncio.timeout(PATIENCE):
            await watched.reflector.synced.wait()
        yield watched
        running.cancel()


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}}


async def label(client: KubeClient, name: str, value: Any) -> None:
    await client.merge_patch(CONFIG_MAPS, "ns", name, {"metadata": {"labels": {"l": value}}})


async def test_an_answer_to_an_own_write_is_seen_at_once_and_never_undone_by_the_watch(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.put(PATH, config_map("a"))
    async with watching(client) as watched:
        assert await watched.next() == "a"
        server.hang()
        first = await client.merge_patch(CONFIG_MAPS, "ns", "a", {"metadata": {"labels": {"l": "1"}}})
        second = await client.merge_patch(CONFIG_MAPS, "ns", "a", {"metadata": {"labels": {"l": "2"}}})
        watched.reflector.wrote(second)
        assert await watched.next() == "a"
        assert watched.labels("a") == {"l": "2"}
        watched.reflector.wrote(first)
        server.hang(False)
        await label(client, "a", "3")  # the watch's events for the first two are known already
        assert await watched.next() == "a"
        assert watched.labels("a") == {"l": "3"}
        assert watched.changes.empty()


async def test_an_answer_about_an_object_that_is_gone_does_not_bring_it_back(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.put(PATH, config_map("a"))
    async with watching(client) as watched:
        assert await watched.next() == "a"
        answer = await client.merge_patch(CONFIG_MAPS, "ns", "a", {"metadata": {"labels": {"l": "1"}}})
        assert await watched.next() == "a"
        await client.delete(CONFIG_MAPS, "ns", "a")
        assert await watched.next() == "a"
        watched.reflector.wrote(answer)
        assert not watched.names()


async def test_an_answer_about_an_object_that_has_left_the_selection_does_not_bring_it_back(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.put(PATH, config_map("a", labels={"node": "one"}))
    async with watching(client, "node=one") as watched:
        assert await watched.next() == "a"
        answer = await client.merge_patch(CONFIG_MAPS, "ns", "a", {"metadata": {"annotations": {"a": "1"}}})
        watched.reflector.rewrote(answer)
        assert watched.names() == {"a"}
        await client.merge_patch(CONFIG_MAPS, "ns", "a", {"metadata": {"labels": {"node": "two"}}})
        while watched.names():
            await watched.next()
        answer = await client.merge_patch(CONFIG_MAPS, "ns", "a", {"metadata": {"annotations": {"a": "2"}}})
        watched.reflector.rewrote(answer)
        assert not watched.names()


async def test_the_list_is_reported_and_then_each_change(server: FakeApiServer, client: KubeClient) -> None:
    server.put(PATH, config_map("old"))
    server.put(CONFIG_MAPS.path("elsewhere"), config_map("other"))
    async with watching(client) as watched:
        assert await watched.next() == "old"
        server.put(PATH, config_map("new"))
        assert await watched.next() == "new"
        await label(client, "old", "1")
        assert await watched.next() == "old"
        assert watched.labels("old") == {"l": "1"}
        await client.delete(CONFIG_MAPS, "ns", "old")
        assert await watched.next() == "old"
        assert watched.names() == {"new"}
    assert server.count("LIST") == server.count("WATCH") == 1


@pytest.mark.parametrize("as_event", [True, False], ids=["as event", "as HTTP status"])
async def test_after_410_a_new_list_reports_changes_and_deletions(
    as_event: bool, server: FakeApiServer, client: KubeClient
) -> None:
    for name in ("same", "changes", "vanishes"):
        server.put(PATH, config_map(name))
    async with watching(client) as watched:
        assert {await watched.next() for _ in range(3)} == {"same", "changes", "vanishes"}
        await server.received("WATCH", 1)
        server.hang()
        await label(client, "changes", "1")
        await client.delete(CONFIG_MAPS, "ns", "vanishes")
        server.put(PATH, config_map("appears"))
        server.compact(as_event)
        server.cut()
        assert {await watched.next() for _ in range(3)} == {"changes", "vanishes", "appears"}
        assert watched.names() == {"same", "changes", "appears"}
        assert watched.changes.empty()
    assert server.count("LIST") == 2


async def test_a_closed_watch_is_reopened_where_it_ended(server: FakeApiServer, client: KubeClient) -> None:
    async with watching(client) as watched:
        seen = server.put(PATH, config_map("one"))
        assert await watched.next() == "one"
        server.hang()
        server.put(PATH, config_map("two"))  # while the watch is down
        server.cut()
        async with asyncio.timeout(PATIENCE):
            await server.received("WATCH", 2)
        assert server.requests[-1] == (f"WATCH {seen['metadata']['resourceVersion']}", PATH)
        server.hang(False)
        assert await watched.next() == "two"
        assert watched.changes.empty()
    assert server.count("LIST") == 1


async def test_a_bookmark_moves_the_place_to_reopen_at(server: FakeApiServer, client: KubeClient) -> None:
    async with watching(client) as watched:
        server.put(PATH, config_map("one"))
        assert await watched.next() == "one"
        server.bookmark()
        version = server.store.version
        await until(lambda: watched.reflector._version == str(version))
        server.cut()
        async with asyncio.timeout(PATIENCE):
            await server.received("WATCH", 2)
        assert server.requests[-1] == (f"WATCH {version}", PATH)


async def test_a_silent_watch_is_closed(server: FakeApiServer, client: KubeClient) -> None:
    async with watching(client, silence=0.05, backoff=0.01) as watched:
        await server.received("WATCH", 1)
        server.hang()
        server.put(PATH, config_map("missed"))
        async with asyncio.timeout(PATIENCE):
            await server.received("WATCH", 3)
        server.hang(False)
        assert await watched.next() == "missed"
    assert server.count("LIST") == 1


async def test_a_dead_server_is_retried_and_nothing_is_lost(server: FakeApiServer, client: KubeClient) -> None:
    async with watching(client, backoff=0.01) as watched:
        await server.down()
        server.put(PATH, config_map("meanwhile"))
        await server.up()
        assert await watched.next() == "meanwhile"


async def test_an_object_that_does_not_decode_is_left_out_and_recorded(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.put(PATH, {**config_map("bad"), "data": {"a": 5}})
    server.put(PATH, config_map("good"))
    async with watching(client) as watched:
        assert {await watched.next(), await watched.next()} == {"good", "bad"}
        server.put(PATH, {**config_map("bad2"), "data": "neither"})
        assert await watched.next() == "bad2"
        server.put(PATH, config_map("good2"))
        assert await watched.next() == "good2"
        assert watched.names() == {"good", "good2"}
        assert set(watched.reflector.undecodable) == {("ns", "bad"), ("ns", "bad2")}
        assert "str" in watched.reflector.undecodable["ns", "bad"]
    assert server.count("WATCH") == 1


async def test_the_last_version_that_decoded_is_kept_also_by_a_new_list(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.put(PATH, {**config_map("turns"), "data": {"a": "1"}})
    async with watching(client, backoff=0.01) as watched:
        assert await watched.next() == "turns"
        await client.merge_patch(CONFIG_MAPS, "ns", "turns", {"data": {"a": 5}})
        assert await watched.next() == "turns"
        server.compact()
        server.cut()
        async with asyncio.timeout(PATIENCE):
            await server.received("LIST", 2)
        (kept,) = watched.reflector
        assert kept.data == {"a": "1"}
        assert set(watched.reflector.undecodable) == {("ns", "turns")}
        await client.merge_patch(CONFIG_MAPS, "ns", "turns", {"data": {"a": "2"}})
        await until(lambda: watched.reflector.get(("ns", "turns")) is not kept)
        assert watched.reflector.undecodable == {}


async def test_a_defect_in_a_callback_ends_neither_the_watch_nor_the_process(
    server: FakeApiServer, client: KubeClient, caplog: pytest.LogCaptureFixture
) -> None:
    seen: asyncio.Queue[Key] = asyncio.Queue()

    def on_change(key: Key) -> None:
        seen.put_nowait(key)
        raise KeyError("a defect")

    reflector = Reflector(client, CONFIG_MAPS, ConfigMap, on_change, namespace="ns")
    server.put(PATH, config_map("first"))
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        running = group.create_task(reflector.run(), name="reflector")
        assert await seen.get() == ("ns", "first")
        await server.received("WATCH", 1)
        server.put(PATH, config_map("second"))
        assert await seen.get() == ("ns", "second")
        running.cancel()
    assert server.count("WATCH") == server.count("LIST") == 1
    assert [vars(record)["virt_fields"]["key"] for record in caplog.records] == [("ns", "first"), ("ns", "second")]


async def test_an_object_nested_thousands_deep_keeps_no_other_out(server: FakeApiServer, client: KubeClient) -> None:
    nested: dict[str, Any] = {}
    for _ in range(3000):
        nested = {"a": nested}
    server.put(PATH, {**config_map("deep"), "more": nested})
    server.put(PATH, config_map("good"))
    async with watching(client) as watched:
        assert watched.names() == {"deep", "good"}
        server.put(PATH, {**config_map("deep2"), "more": nested})
        server.put(PATH, config_map("good2"))
        await until(lambda: "good2" in watched.names())
    assert server.count("WATCH") == 1


async def test_an_object_nested_deeper_than_can_be_decoded_keeps_no_other_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = "[" * DEEPER + "]" * DEEPER
    objects = [json.dumps(config_map(name, resourceVersion="5"))[:-1] for name in ("deep", "good")]
    listed = f'{{"kind": "List", "metadata": {{"resourceVersion": "7"}}, "items": [{objects[0]}, "more": {deep}}},'
    listed += f"{objects[1]}}}]}}"
    watches = asyncio.Queue[str]()

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.Response(text=listed, content_type="application/json")
        watches.put_nowait(request.query["resourceVersion"])
        return web.json_response({"type": "ADDED", "object": config_map("later", resourceVersion="8")})

    application = web.Application()
    application.router.add_get(PATH, answer)
    async with TestServer(application) as server:
        config = tmp_path / "kubeconfig"
        fake = FakeApiServer().write_kubeconfig(config).read_text()
        config.write_text(fake.replace("http://127.0.0.1:0", f"http://127.0.0.1:{server.port}"))
        monkeypatch.setenv("KUBECONFIG", str(config))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        async with KubeClient.connect("test") as client, watching(client) as watched:
            assert watched.names() == {"good"}
            async with asyncio.timeout(PATIENCE):
                assert await watches.get() == "7"


@pytest.mark.parametrize("then", ["deleted", "repaired"])
async def test_an_object_that_decodes_no_longer_can_be(then: str, server: FakeApiServer, client: KubeClient) -> None:
    server.put(PATH, config_map("turns"))
    async with watching(client) as watched:
        assert await watched.next() == "turns"
        await client.merge_patch(CONFIG_MAPS, "ns", "turns", {"data": {"a": 5}})
        assert await watched.next() == "turns"
        if then == "deleted":
            await client.delete(CONFIG_MAPS, "ns", "turns")
        else:
            await client.merge_patch(CONFIG_MAPS, "ns", "turns", {"data": {"a": "5"}})
        assert await watched.next() == "turns"
        found = watched.reflector.get(("ns", "turns"))
        assert (found and found.data) == (None if then == "deleted" else {"a": "5"})


async def test_events_larger_than_any_line_limit_arrive(server: FakeApiServer, client: KubeClient) -> None:
    async with watching(client) as watched:
        for name in ("first", "second"):
            server.put(PATH, config_map(name, annotations={"long": name * 200_000}))
            assert await watched.next() == name
        assert watched.names() == {"first", "second"}
    assert server.count("WATCH") == 1


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until it holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what it looks at has no event
            await asyncio.sleep(0)


async def test_a_kind_is_watched_while_it_is_defined_and_has_no_objects_otherwise(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.put(PATH, config_map("a"))
    changes: asyncio.Queue[Key] = asyncio.Queue()
    defined = asyncio.Event()
    reflector = Reflector(client, CONFIG_MAPS, ConfigMap, changes.put_nowait, namespace="ns", defined=defined)
    running = asyncio.create_task(reflector.run(), name="reflector")
    try:
        async with asyncio.timeout(PATIENCE):
            await asyncio.sleep(0)
            assert server.count("LIST") == 0
            defined.set()
            assert await changes.get() == ("ns", "a")
            await server.received("WATCH", 1)
            defined.clear()
            server.cut()
            assert await changes.get() == ("ns", "a")
            assert list(reflector) == []
            assert not reflector.synced.is_set()
            defined.set()
            assert await changes.get() == ("ns", "a")
            assert len(list(reflector)) == 1
    finally:
        running.cancel()


async def test_an_optional_kind_has_no_objects_while_the_api_server_does_not_know_it(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.put(PATH, config_map("a"))
    server.undefined.add(CONFIG_MAPS.plural)
    changes: asyncio.Queue[Key] = asyncio.Queue()
    reflector = Reflector(client, CONFIG_MAPS, ConfigMap, changes.put_nowait, namespace="ns", optional=True)
    running = asyncio.create_task(reflector.run(), name="reflector")
    try:
        async with asyncio.timeout(PATIENCE):
            await reflector.synced.wait()
            assert list(reflector) == []
            server.undefined.clear()
            assert await changes.get() == ("ns", "a")
            assert len(list(reflector)) == 1
            await server.received("WATCH", 1)
            server.undefined.add(CONFIG_MAPS.plural)
            server.cut()
            assert await changes.get() == ("ns", "a")
            assert list(reflector) == [] and reflector.synced.is_set()
    finally:
        running.cancel()
