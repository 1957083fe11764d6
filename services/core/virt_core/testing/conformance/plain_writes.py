"""Creates, JSON patches, merge patches and dry runs."""

from __future__ import annotations

from virt_core.kube.client import KubeClient
from virt_core.kube.errors import AlreadyExists, Conflict, Invalid, NotFound
from virt_core.kube.resource import CONFIG_MAPS
from virt_core.testing.conformance.calls import Check, Object, config_map, refused


async def create_gives_identity_once(client: KubeClient, namespace: str) -> None:
    """A created object has namespace, uid and resourceVersion; the same name again is AlreadyExists."""
    created = await client.create(CONFIG_MAPS, namespace, config_map("once"))
    metadata = created["metadata"]
    assert metadata["namespace"] == namespace and metadata["uid"] and metadata["resourceVersion"]
    assert await client.get(CONFIG_MAPS, namespace, "once") == created
    await refused(AlreadyExists, client.create(CONFIG_MAPS, namespace, config_map("once")))


async def what_is_not_there_is_not_found(client: KubeClient, namespace: str) -> None:
    """Get, patches and delete alike."""
    test = [{"op": "test", "path": "/metadata/name", "value": "absent"}]
    await refused(NotFound, client.get(CONFIG_MAPS, namespace, "absent"))
    await refused(NotFound, client.delete(CONFIG_MAPS, namespace, "absent"))
    await refused(NotFound, client.merge_patch(CONFIG_MAPS, namespace, "absent", {"data": {"a": "2"}}))
    await refused(NotFound, client.json_patch(CONFIG_MAPS, namespace, "absent", test))


async def a_json_patch_is_done_whole_or_not_at_all(client: KubeClient, namespace: str) -> None:
    """A test that holds lets the rest through; a test that fails or a path that is gone is a Conflict."""
    await client.create(CONFIG_MAPS, namespace, config_map("tested"))
    replace = {"op": "replace", "path": "/data/a", "value": "2"}
    test = {"op": "test", "path": "/data/a", "value": "1"}
    before = await client.get(CONFIG_MAPS, namespace, "tested")
    after = await client.json_patch(CONFIG_MAPS, namespace, "tested", [test, replace])
    assert after["data"] == {"a": "2"}
    assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
    more = {"op": "add", "path": "/data/b", "value": "3"}
    await refused(Conflict, client.json_patch(CONFIG_MAPS, namespace, "tested", [more, test]))
    gone = {"op": "remove", "path": "/data/absent"}
    await refused(Conflict, client.json_patch(CONFIG_MAPS, namespace, "tested", [more, gone]))
    assert await client.get(CONFIG_MAPS, namespace, "tested") == after


async def a_json_patch_tests_with_null_that_a_key_is_absent(client: KubeClient, namespace: str) -> None:
    """RFC 6902 has no such test; KubeVirt's virt-api relies on it, too. The object that has the key must exist."""
    await client.create(CONFIG_MAPS, namespace, config_map("lacking"))
    add = {"op": "add", "path": "/data/b", "value": "2"}
    absent = {"op": "test", "path": "/data/b", "value": None}
    after = await client.json_patch(CONFIG_MAPS, namespace, "lacking", [absent, add])
    assert after["data"] == {"a": "1", "b": "2"}
    await refused(Conflict, client.json_patch(CONFIG_MAPS, namespace, "lacking", [absent, add]))
    nowhere = {"op": "test", "path": "/absent/b", "value": None}
    await refused(Conflict, client.json_patch(CONFIG_MAPS, namespace, "lacking", [nowhere, add]))


async def a_merge_patch_may_name_the_version_it_rests_on(client: KubeClient, namespace: str) -> None:
    """null removes; a resourceVersion that is not the object's is a Conflict."""
    created = await client.create(CONFIG_MAPS, namespace, config_map("merged"))
    version = created["metadata"]["resourceVersion"]
    body = {"metadata": {"resourceVersion": version}, "data": {"a": None, "b": "2"}}
    patched = await client.merge_patch(CONFIG_MAPS, namespace, "merged", body)
    assert patched["data"] == {"b": "2"}
    stale = {"metadata": {"resourceVersion": version}, "data": {"b": "3"}}
    await refused(Conflict, client.merge_patch(CONFIG_MAPS, namespace, "merged", stale))
    assert await client.get(CONFIG_MAPS, namespace, "merged") == patched


async def delete_may_name_the_uid(client: KubeClient, namespace: str) -> None:
    """Another uid is a Conflict and deletes nothing."""
    created = await client.create(CONFIG_MAPS, namespace, config_map("deleted"))
    await refused(Conflict, client.delete(CONFIG_MAPS, namespace, "deleted", uid="another"))
    assert await client.get(CONFIG_MAPS, namespace, "deleted") == created
    await client.delete(CONFIG_MAPS, namespace, "deleted", uid=created["metadata"]["uid"])
    await refused(NotFound, client.get(CONFIG_MAPS, namespace, "deleted"))


async def a_dry_run_stores_nothing(client: KubeClient, namespace: str) -> None:
    """It answers what would be stored."""
    dry = await client.create(CONFIG_MAPS, namespace, config_map("dry"), dry_run=True)
    assert dry["data"] == {"a": "1"}
    await refused(NotFound, client.get(CONFIG_MAPS, namespace, "dry"))
    created = await client.create(CONFIG_MAPS, namespace, config_map("dry"))
    patched = await client.merge_patch(CONFIG_MAPS, namespace, "dry", {"data": {"a": "2"}}, dry_run=True)
    assert patched["data"] == {"a": "2"}
    assert await client.get(CONFIG_MAPS, namespace, "dry") == created


async def a_name_may_be_generated(client: KubeClient, namespace: str) -> None:
    """generateName is the beginning of it."""
    body = {"metadata": {"generateName": "made-"}}
    names = {(await client.create(CONFIG_MAPS, namespace, body))["metadata"]["name"] for _ in range(2)}
    assert len(names) == 2 and all(name.startswith("made-") and len(name) > len("made-") for name in names)


async def the_servers_own_metadata_cannot_be_written(client: KubeClient, namespace: str) -> None:
    """A generation has no effect, an empty time is left as it was, a time of deletion is refused."""
    created = await client.create(CONFIG_MAPS, namespace, config_map("owned"))
    body: Object = {"metadata": {"generation": 7, "creationTimestamp": None}}
    patched = await client.merge_patch(CONFIG_MAPS, namespace, "owned", body)
    assert patched["metadata"]["creationTimestamp"] == created["metadata"]["creationTimestamp"]
    assert "generation" not in patched["metadata"]
    marked: Object = {"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}}
    await refused(Invalid, client.merge_patch(CONFIG_MAPS, namespace, "owned", marked))


CHECKS: tuple[Check, ...] = (
    create_gives_identity_once,
    what_is_not_there_is_not_found,
    a_json_patch_is_done_whole_or_not_at_all,
    a_json_patch_tests_with_null_that_a_key_is_absent,
    a_merge_patch_may_name_the_version_it_rests_on,
    delete_may_name_the_uid,
    a_dry_run_stores_nothing,
    a_name_may_be_generated,
    the_servers_own_metadata_cannot_be_written,
)
