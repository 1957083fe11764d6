"""Long lists, which a reflector reads in pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Key, Reflector, Timing
from virt_core.kube.resource import CONFIG_MAPS
from virt_core.objects.meta import PartialObject
from virt_core.testing.api_server import FakeApiServer

from tests.support.patience import PATIENCE

PATH = CONFIG_MAPS.path("ns")
Keys = asyncio.Queue[Key]


@asynccontextmanager
async def synced(client: KubeClient) -> AsyncIterator[tuple[Reflector[PartialObject], Keys]]:
    """A running reflector that has listed, and the keys that it reports."""
    keys: Keys = asyncio.Queue()
    timing = Timing(backoff=0.01)
    reflector = Reflector(client, CONFIG_MAPS, PartialObject, keys.put_nowait, namespace="ns", timing=timing)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(reflector.run(), name="reflector")
        async with asyncio.timeout(PATIENCE):
            await reflector.synced.wait()
        yield reflector, keys
        running.cancel()


def put(server: FakeApiServer, count: int) -> set[str]:
    names = {f"a{number:04}" for number in range(count)}
    for name in names:
        server.put(PATH, {"metadata": {"name": name}})
    return names


async def test_a_list_longer_than_a_page_is_read_to_its_end(server: FakeApiServer, client: KubeClient) -> None:
    names = put(server, 1001)
    async with synced(client) as (reflector, keys):
        assert {found.metadata.name for found in reflector} == names
        assert server.count("LIST") == 3
        assert {keys.get_nowait()[1] for _ in names} == names
        await client.merge_patch(CONFIG_MAPS, "ns", "a0700", {"metadata": {"labels": {"l": "new"}}})
        async with asyncio.timeout(PATIENCE):
            assert await keys.get() == ("ns", "a0700")


async def test_a_list_whose_pages_the_server_has_forgotten_begins_again(
    server: FakeApiServer, client: KubeClient
) -> None:
    names = put(server, 501)
    server.forget_pages(1)
    async with synced(client) as (reflector, _):
        assert {found.metadata.name for found in reflector} == names
        assert server.count("LIST") == 4
