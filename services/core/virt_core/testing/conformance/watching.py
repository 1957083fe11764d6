"""Lists, and watches by a Reflector."""

from __future__ import annotations

import asyncio

from virt_core.kube.client import KubeClient
from virt_core.kube.messages import ObjectList, read_list
from virt_core.kube.reflector import Key, Reflector
from virt_core.kube.resource import CONFIG_MAPS
from virt_core.objects.meta import PartialObject
from virt_core.testing.conformance.calls import DEADLINE, Check, cached, config_map


async def lists_select_by_label_and_name(client: KubeClient, namespace: str) -> None:
    """Equality, presence, absence of labels, metadata.name as field; another namespace's objects are in no list."""
    for name, colour in (("green1", "green"), ("green2", "green"), ("red1", "red")):
        await client.create(CONFIG_MAPS, namespace, config_map(name, colour=colour))
    await cached(client, namespace, "red1")
    assert await _names(client, namespace, labels="colour=green") == ["green1", "green2"]
    assert await _names(client, namespace, labels="colour") == ["green1", "green2", "red1"]
    assert await _names(client, namespace, labels="!colour,colour") == []
    assert await _names(client, namespace, labels="!shape,colour=red") == ["red1"]
    assert await _names(client, namespace, fields="metadata.name=red1") == ["red1"]
    assert await _names(client, namespace, labels="colour=green", fields="metadata.name=red1") == []
    assert await _names(client, f"{namespace}-other", labels="colour=green") == []


async def lists_come_in_pages_of_one_version(client: KubeClient, namespace: str) -> None:
    """A page has as many objects as asked for. What is created meanwhile is on no further page."""
    for number in range(3):
        await client.create(CONFIG_MAPS, namespace, config_map(f"page{number}", paged="yes"))
    first = await _page(client, namespace, "")
    await client.create(CONFIG_MAPS, namespace, config_map("page9", paged="yes"))
    second = await _page(client, namespace, first.metadata.following)
    assert (len(first.items), len(second.items), second.metadata.following) == (2, 1, "")
    assert first.metadata.resource_version == second.metadata.resource_version


async def a_reflector_sees_each_change(client: KubeClient, namespace: str) -> None:
    """Created, modified, out of the selection and in again, deleted; objects with other labels are never reported."""
    changed: asyncio.Queue[Key] = asyncio.Queue()
    reflector = Reflector(
        client, CONFIG_MAPS, PartialObject, changed.put_nowait, namespace=namespace, labels="watched=yes"
    )
    key = (namespace, "seen")

    async def next_labels() -> dict[str, str] | None:
        async with asyncio.timeout(DEADLINE):
            assert await changed.get() == key
        seen = reflector.get(key)
        return None if seen is None else seen.metadata.labels

    async def label(**labels: str | None) -> None:
        await client.merge_patch(CONFIG_MAPS, namespace, "seen", {"metadata": {"labels": labels}})

    async with asyncio.TaskGroup() as group:
        running = group.create_task(reflector.run(), name="reflector")
        async with asyncio.timeout(DEADLINE):
            await reflector.synced.wait()
        await client.create(CONFIG_MAPS, namespace, config_map("unseen", watched="no"))
        await client.create(CONFIG_MAPS, namespace, config_map("seen", watched="yes"))
        assert await next_labels() == {"watched": "yes"}
        await label(colour="red")
        assert await next_labels() == {"watched": "yes", "colour": "red"}
        await label(watched=None)
        assert await next_labels() is None
        await label(watched="yes")
        assert await next_labels() == {"watched": "yes", "colour": "red"}
        await client.delete(CONFIG_MAPS, namespace, "seen")
        assert await next_labels() is None
        running.cancel()


async def _names(client: KubeClient, namespace: str, *, labels: str = "", fields: str = "") -> list[str]:
    found = await client.list(CONFIG_MAPS, namespace, labels=labels, fields=fields)
    return sorted(item["metadata"]["name"] for item in found)


async def _page(client: KubeClient, namespace: str, following: str) -> ObjectList:
    query = {"labelSelector": "paged=yes", "limit": "2", "continue": following}
    path, used = CONFIG_MAPS.path(namespace), {key: value for key, value in query.items() if value}
    async with client.stream(path, used, DEADLINE) as body:
        return read_list(await body.read())


CHECKS: tuple[Check, ...] = (
    lists_select_by_label_and_name,
    lists_come_in_pages_of_one_version,
    a_reflector_sees_each_change,
)
