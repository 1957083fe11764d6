"""The status subresource and generations, of kinds that Kubernetes has and of custom ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from virt_core.kube.client import KubeClient
from virt_core.kube.errors import NotFound
from virt_core.kube.resource import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    PODS,
    SECRETS,
    SERVICES,
    Resource,
)
from virt_core.testing.conformance.calls import DEADLINE, Check, Object, config_map, pod


async def a_status_is_written_by_its_subresource(client: KubeClient, namespace: str) -> None:
    """Where a kind has one: the object's writes leave the status alone, and the status' writes everything else."""
    async with _custom_kind(client, namespace, {"status": {}}) as things:
        body: Object = {"metadata": {"name": "a"}, "spec": {"size": 1}, "status": {"phase": "Early"}}
        created = await _patiently(client, things, namespace, body)
        assert "status" not in created and created["metadata"]["generation"] == 1
        both: Object = {"spec": {"size": 2}, "status": {"phase": "Done"}}
        changed = await client.merge_patch(things, namespace, "a", both)
        assert (changed["spec"], "status" in changed) == ({"size": 2}, False)
        assert changed["metadata"]["generation"] == 2
        both["spec"]["size"] = 3
        reported = await client.merge_patch(things, namespace, "a", both, "status")
        assert (reported["spec"], reported["status"]) == ({"size": 2}, {"phase": "Done"})
        assert reported["metadata"]["generation"] == 2
        applied = await client.apply(things, namespace, {**body, "spec": {"size": 2}}, manager="first")
        assert applied["status"] == {"phase": "Done"}
        assert {entry.get("subresource", "") for entry in applied["metadata"]["managedFields"]} == {"", "status"}


async def annotations_of_a_pod_are_written_with_its_status(client: KubeClient, namespace: str) -> None:
    """The spec is not."""
    await pod(client, namespace, "annotated")
    body: Object = {"metadata": {"annotations": {"a": "1"}}, "spec": {"nodeName": "other"}, "status": {"message": "m"}}
    written = await client.merge_patch(PODS, namespace, "annotated", body, "status")
    assert (written["metadata"]["annotations"], written["status"]["message"]) == ({"a": "1"}, "m")
    assert "nodeName" not in written["spec"]


async def without_the_subresource_the_status_counts(client: KubeClient, namespace: str) -> None:
    """A VirtualMachineInstance is such a kind: everything but metadata moves the generation, deletion too."""
    async with _custom_kind(client, namespace, {}) as things:
        body: Object = {"metadata": {"name": "b"}, "spec": {"size": 1}, "status": {"phase": "Early"}}
        created = await _patiently(client, things, namespace, body)
        assert (created["status"], created["metadata"]["generation"]) == ({"phase": "Early"}, 1)
        changed = await client.merge_patch(things, namespace, "b", {"status": {"phase": "Done"}})
        assert (changed["status"], changed["metadata"]["generation"]) == ({"phase": "Done"}, 2)
        labelled = {"metadata": {"labels": {"a": "b"}, "finalizers": ["example.com/first"]}}
        assert (await client.merge_patch(things, namespace, "b", labelled))["metadata"]["generation"] == 2
        await client.delete(things, namespace, "b")
        assert (await client.get(things, namespace, "b"))["metadata"]["generation"] == 3
        await client.merge_patch(things, namespace, "b", {"metadata": {"finalizers": None}})


async def lists_of_custom_kinds_merge_as_their_schema_says(client: KubeClient, namespace: str) -> None:
    """A list map by its key, a list without a mark as a whole."""
    async with _custom_kind(client, namespace, {}) as things:
        body: Object = {"metadata": {"name": "c"}, "spec": {"keyed": [{"name": "a", "value": "1"}], "plain": ["1"]}}
        await _patiently(client, things, namespace, body)
        other: Object = {"metadata": {"name": "c"}, "spec": {"keyed": [{"name": "b", "value": "2"}], "plain": ["2"]}}
        applied = await client.apply(things, namespace, other, manager="first")
        assert {item["name"] for item in applied["spec"]["keyed"]} == {"a", "b"}
        assert applied["spec"]["plain"] == ["2"]


async def generations_count_changes_of_the_spec(client: KubeClient, namespace: str) -> None:
    """Deployments have them; ConfigMaps, Secrets and Services do not."""
    labels = {"app": "counted"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "x"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    created = await client.create(DEPLOYMENTS, namespace, {"metadata": {"name": "counted"}, "spec": spec})
    assert created["metadata"]["generation"] == 1
    changed = await client.merge_patch(DEPLOYMENTS, namespace, "counted", {"spec": {"minReadySeconds": 1}})
    assert changed["metadata"]["generation"] == 2
    labelled = await client.merge_patch(DEPLOYMENTS, namespace, "counted", {"metadata": {"labels": labels}})
    assert labelled["metadata"]["generation"] == 2
    service = {"metadata": {"name": "plain"}, "spec": {"ports": [{"port": 80}]}}
    for resource, body in ((CONFIG_MAPS, config_map("plain")), (SECRETS, {"metadata": {"name": "plain"}})):
        assert "generation" not in (await client.create(resource, namespace, body))["metadata"]
    assert "generation" not in (await client.create(SERVICES, namespace, service))["metadata"]


CHECKS: tuple[Check, ...] = (
    a_status_is_written_by_its_subresource,
    annotations_of_a_pod_are_written_with_its_status,
    without_the_subresource_the_status_counts,
    lists_of_custom_kinds_merge_as_their_schema_says,
    generations_count_changes_of_the_spec,
)


@asynccontextmanager
async def _custom_kind(client: KubeClient, namespace: str, subresources: Object) -> AsyncIterator[Resource]:
    """A kind in a group of the namespace's own."""
    group = f"{namespace}.example.com"
    text = {"type": "string"}
    item = {"type": "object", "required": ["name"], "properties": {"name": text, "value": text}}
    keyed = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": item}
    spec = {"size": {"type": "integer"}, "keyed": keyed, "plain": {"type": "array", "items": {"type": "string"}}}
    status = {"type": "object", "properties": {"phase": {"type": "string"}}}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}, "status": status}}
    served = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    definition = {
        "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"},
            "versions": [{**served, "subresources": subresources} if subresources else served],
        },
    }
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, None, definition)
    try:
        yield Resource(group, "v1", "things", "Thing")
    finally:
        await client.delete(CUSTOM_RESOURCE_DEFINITIONS, None, f"things.{group}")


async def _patiently(client: KubeClient, things: Resource, namespace: str, body: Object) -> Object:
    """Create as soon as the kind is served."""
    full = {"apiVersion": things.api_version, "kind": things.kind, **body}
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                return await client.create(things, namespace, full)
            except NotFound:
                await asyncio.sleep(0.1)  # nothing tells when a new kind is served
