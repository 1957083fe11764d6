"""Which KubeVirt object a component uses, and that it never silently assumes defaults."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from virt_core import logs
from virt_core.conventions.labels import KUBEVIRT_FINALIZER
from virt_core.kube.client import KubeClient
from virt_core.kube.configuration import ConfigurationCache
from virt_core.kube.resource import KUBEVIRTS
from virt_core.testing.api_server import FakeApiServer

from tests.support.patience import PATIENCE
from tests.support.process_logs import logging_restored

PATH = KUBEVIRTS.path("kubevirt")
BAD = {"configuration": {"developerConfiguration": {"useEmulation": "yes"}}}


def kubevirt(name: str, model: str = "", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "spec": {"configuration": {"cpuModel": model}}}


class Watched:
    """A cache at work; `next` waits for a change."""

    def __init__(self, client: KubeClient) -> None:
        self.cache = ConfigurationCache(client, "kubevirt")
        self._changed = asyncio.Event()
        self.cache.subscribe(self._changed.set)

    async def next(self) -> ConfigurationCache:
        async with asyncio.timeout(PATIENCE):
            await self._changed.wait()
        self._changed.clear()
        return self.cache


@contextmanager
def started_at(level: int) -> Iterator[None]:
    """As in a process that was set up with `level`."""
    with logging_restored():
        logs.setup("virt-api", level)
        yield


@asynccontextmanager
async def watching(client: KubeClient) -> AsyncIterator[Watched]:
    watched = Watched(client)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(watched.cache.run(), name="configuration")
        async with asyncio.timeout(PATIENCE):
            await watched.cache.synced.wait()
        yield watched
        running.cancel()


def model(cache: ConfigurationCache) -> str | None:
    return cache.current.cpu_model if cache.current is not None else None


async def test_without_a_kubevirt_object_there_is_no_configuration(server: FakeApiServer, client: KubeClient) -> None:
    server.put(KUBEVIRTS.path("elsewhere"), kubevirt("kubevirt", "foreign"))
    async with watching(client) as watched:
        assert watched.cache.current is None and watched.cache.resource_version == ""
        assert watched.cache.unknown == "there is no KubeVirt object in namespace kubevirt"
        server.put(PATH, kubevirt("kubevirt", "mine"))
        assert model(await watched.next()) == "mine" and watched.cache.unknown == ""
        await client.delete(KUBEVIRTS, "kubevirt", "kubevirt")
        assert (await watched.next()).current is None


async def test_logs_follow_the_object_without_a_restart(server: FakeApiServer, client: KubeClient) -> None:
    def verbosity(**numbers: int | None) -> dict[str, Any]:
        return {"spec": {"configuration": {"developerConfiguration": {"logVerbosity": numbers}}}}

    server.put(PATH, kubevirt("kubevirt"))
    logger = logging.getLogger("virt_core")
    async with watching(client) as watched:
        await watched.next()
        watched.cache.log_as_configured(lambda found: found.virt_api)
        with started_at(logging.INFO):
            for body, expected in (
                (verbosity(virtAPI=4), logging.DEBUG),
                (verbosity(virtAPI=None, virtHandler=9), logging.INFO),
                (verbosity(virtAPI=1), logging.WARNING),
            ):
                await client.merge_patch(KUBEVIRTS, "kubevirt", "kubevirt", body)
                await watched.next()
                assert logger.level == expected
            await client.delete(KUBEVIRTS, "kubevirt", "kubevirt")
            await watched.next()
            assert logger.level == logging.INFO


async def test_an_object_that_no_longer_decodes_keeps_its_last_configuration(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.put(PATH, kubevirt("kubevirt", "good"))
    async with watching(client) as watched:
        await watched.next()
        await client.merge_patch(KUBEVIRTS, "kubevirt", "kubevirt", {"spec": BAD})
        assert model(await watched.next()) == "good"


async def test_an_object_that_never_decoded_is_no_reason_for_defaults(
    server: FakeApiServer, client: KubeClient
) -> None:
    counts = {"name": "broken", "finalizers": [KUBEVIRT_FINALIZER]}
    server.put(PATH, {"metadata": counts, "spec": BAD})
    server.put(PATH, kubevirt("other", "other"))
    async with watching(client) as watched:
        await watched.next()
        assert watched.cache.current is None  # the one that cannot be read may be the one that counts
        assert "broken" in watched.cache.unknown and "useEmulation" in watched.cache.unknown
        await client.merge_patch(
            KUBEVIRTS,
            "kubevirt",
            "broken",
            {
                "spec": kubevirt("", "mended")["spec"]
                | BAD
                | {"configuration": {"developerConfiguration": None, "cpuModel": "mended"}}
            },
        )
        while (await watched.next()).current is None:
            pass  # the first list reports each object
        assert model(watched.cache) == "mended"


async def test_the_object_with_the_finalizer_counts_as_it_does_for_the_operator(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.put(PATH, kubevirt("a", "oldest"))
    server.put(PATH, kubevirt("b", "installed", finalizers=[KUBEVIRT_FINALIZER]))
    async with watching(client) as watched:
        assert model(watched.cache) == "installed"
