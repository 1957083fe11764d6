"""What a fake API server and the real one must agree on, as far as the suite relies on it.

Each function of CHECKS takes a client and the name of an empty namespace and raises AssertionError. Run against
FakeApiServer with the unit tests and against a real API server end to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from virt_core.kube.client import KubeClient
from virt_core.kube.errors import AlreadyExists, Conflict, KubeError, NotFound
from virt_core.kube.reflector import Key, Reflector
from virt_core.kube.resource import CONFIG_MAPS
from virt_core.objects.meta import PartialObject

Check = Callable[[KubeClient, str], Awaitable[None]]
_DEADLINE = 10.0  # seconds for a change to be seen by watch


async def create_gives_identity_once(client: KubeClient, namespace: str) -> None:
    """A created object has namespace, uid and resourceVersion; the same name again is AlreadyExists."""
    created = await client.create(CONFIG_MAPS, namespace, _config_map("once"))
    metadata = created["metadata"]
    assert metadata["namespace"] == namespace and metadata["uid"] and metadata["resourceVersion"]
    assert await client.get(CONFIG_MAPS, namespace, "once") == created
    await _refused(AlreadyExists, client.create(CONFIG_MAPS, namespace, _config_map("once")))


async def what_is_not_there_is_not_found(client: KubeClient, namespace: str) -> None:
    """Get, patches and delete alike."""
    test = [{"op": "test", "path": "/metadata/name", "value": "absent"}]
    await _refused(NotFound, client.get(CONFIG_MAPS, namespace, "absent"))
    await _refused(NotFound, client.delete(CONFIG_MAPS, namespace, "absent"))
    await _refused(NotFound, client.merge_patch(CONFIG_MAPS, namespace, "absent", {"data": {"a": "2"}}))
    await _refused(NotFound, client.json_patch(CONFIG_MAPS, namespace, "absent", test))


async def a_json_patch_is_done_whole_or_not_at_all(client: KubeClient, namespace: str) -> None:
    """A test that holds lets the rest through; a test that fails or a path that is gone is a Conflict."""
    await client.create(CONFIG_MAPS, namespace, _config_map("tested"))
    replace = {"op": "replace", "path": "/data/a", "value": "2"}
    test = {"op": "test", "path": "/data/a", "value": "1"}
    before = await client.get(CONFIG_MAPS, namespace, "tested")
    after = await client.json_patch(CONFIG_MAPS, namespace, "tested", [test, replace])
    assert after["data"] == {"a": "2"}
    assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
    more = {"op": "add", "path": "/data/b", "value": "3"}
    await _refused(Conflict, client.json_patch(CONFIG_MAPS, namespace, "tested", [more, test]))
    gone = {"op": "remove", "path": "/data/absent"}
    await _refused(Conflict, client.json_patch(CONFIG_MAPS, namespace, "tested", [more, gone]))
    assert await client.get(CONFIG_MAPS, namespace, "tested") == after


async def a_merge_patch_may_name_the_version_it_rests_on(client: KubeClient, namespace: str) -> None:
    """null removes; a resourceVersion that is not the object's is a Conflict."""
    created = await client.create(CONFIG_MAPS, namespace, _config_map("merged"))
    version = created["metadata"]["resourceVersion"]
    body = {"metadata": {"resourceVersion": version}, "data": {"a": None, "b": "2"}}
    patched = await client.merge_patch(CONFIG_MAPS, namespace, "merged", body)
    assert patched["data"] == {"b": "2"}
    stale = {"metadata": {"resourceVersion": version}, "data": {"b": "3"}}
    await _refused(Conflict, client.merge_patch(CONFIG_MAPS, namespace, "merged", stale))
    assert await client.get(CONFIG_MAPS, namespace, "merged") == patched


async def delete_may_name_the_uid(client: KubeClient, namespace: str) -> None:
    """Another uid is a Conflict and deletes nothing."""
    created = await client.create(CONFIG_MAPS, namespace, _config_map("deleted"))
    await _refused(Conflict, client.delete(CONFIG_MAPS, namespace, "deleted", uid="another"))
    assert await client.get(CONFIG_MAPS, namespace, "deleted") == created
    await client.delete(CONFIG_MAPS, namespace, "deleted", uid=created["metadata"]["uid"])
    await _refused(NotFound, client.get(CONFIG_MAPS, namespace, "deleted"))


async def lists_select_by_label_and_name(client: KubeClient, namespace: str) -> None:
    """Equality of labels, metadata.name as field; another namespace's objects are not in a list."""
    for name, colour in (("green1", "green"), ("green2", "green"), ("red1", "red")):
        await client.create(CONFIG_MAPS, namespace, _config_map(name, colour=colour))
    await _cached(client, namespace, "red1")
    assert await _names(client, namespace, labels="colour=green") == ["green1", "green2"]
    assert await _names(client, namespace, fields="metadata.name=red1") == ["red1"]
    assert await _names(client, namespace, labels="colour=green", fields="metadata.name=red1") == []
    assert await _names(client, f"{namespace}-other", labels="colour=green") == []


async def a_reflector_sees_each_change(client: KubeClient, namespace: str) -> None:
    """Created, modified, out of the selection and in again, deleted; objects of other labels are never told."""
    told: asyncio.Queue[Key] = asyncio.Queue()
    reflector = Reflector(
        client, CONFIG_MAPS, PartialObject, told.put_nowait, namespace=namespace, labels="watched=yes"
    )
    key = (namespace, "seen")

    async def next_labels() -> dict[str, str] | None:
        async with asyncio.timeout(_DEADLINE):
            assert await told.get() == key
        seen = reflector.get(key)
        return None if seen is None else seen.metadata.labels

    async def label(**labels: str | None) -> None:
        await client.merge_patch(CONFIG_MAPS, namespace, "seen", {"metadata": {"labels": labels}})

    async with asyncio.TaskGroup() as group:
        running = group.create_task(reflector.run(), name="reflector")
        async with asyncio.timeout(_DEADLINE):
            await reflector.synced.wait()
        await client.create(CONFIG_MAPS, namespace, _config_map("unseen", watched="no"))
        await client.create(CONFIG_MAPS, namespace, _config_map("seen", watched="yes"))
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


CHECKS: tuple[Check, ...] = (
    create_gives_identity_once,
    what_is_not_there_is_not_found,
    a_json_patch_is_done_whole_or_not_at_all,
    a_merge_patch_may_name_the_version_it_rests_on,
    delete_may_name_the_uid,
    lists_select_by_label_and_name,
    a_reflector_sees_each_change,
)


def _config_map(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": {"a": "1"}}


async def _names(client: KubeClient, namespace: str, *, labels: str = "", fields: str = "") -> list[str]:
    found = await client.list(CONFIG_MAPS, namespace, labels=labels, fields=fields)
    return sorted(each["metadata"]["name"] for each in found)


async def _cached(client: KubeClient, namespace: str, name: str) -> None:
    """Wait until the server's cache, which answers lists and watches, has the object."""
    seen = asyncio.Event()
    fields = f"metadata.name={name}"
    reflector = Reflector(client, CONFIG_MAPS, PartialObject, lambda _: seen.set(), namespace=namespace, fields=fields)
    async with asyncio.timeout(_DEADLINE), asyncio.TaskGroup() as group:
        running = group.create_task(reflector.run(), name="reflector")
        await seen.wait()
        running.cancel()


async def _refused(kind: type[KubeError], call: Awaitable[object]) -> None:
    try:
        answer = await call
    except KubeError as error:
        assert type(error) is kind, error
    else:
        raise AssertionError(f"{kind.__name__} expected, not {answer}")
