"""The real API server behaves as the fake one of the unit tests does: the same suite, against both."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import NAMESPACES
from virt_core.testing.conformance import CHECKS
from virt_core.testing.conformance.calls import Check
from virt_core.testing.kinds import BUILT_IN, AsSet, Atomic, ByKeys, Merging, Path

pytestmark = pytest.mark.parallel


@pytest.fixture
async def client() -> AsyncIterator[KubeClient]:
    async with KubeClient.connect("conformance-test") as client:
        yield client


@pytest.fixture
async def namespace(client: KubeClient) -> AsyncIterator[str]:
    name = f"conformance-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await client.create(NAMESPACES, None, body)
    yield name
    await client.delete(NAMESPACES, None, name)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conforms(check: Check, client: KubeClient, namespace: str) -> None:
    await check(client, namespace)


async def test_the_fakes_lists_merge_as_the_published_schema_says(client: KubeClient) -> None:
    schema = await client.raw("/openapi/v2")
    for (group, plural), kind in BUILT_IN.items():
        roots = (f"/apis/{group}/v1", f"/apis/{group}/v1beta1") if group else ("/api/v1",)
        scopes = ("", "/namespaces/{namespace}")
        collections = [f"{root}{scope}/{plural}" for root in roots for scope in scopes]
        (created,) = (schema["paths"][path]["post"] for path in collections if "post" in schema["paths"].get(path, {}))
        body = next(parameter["schema"] for parameter in created["parameters"] if parameter["name"] == "body")
        published = dict(merging((), body, schema["definitions"]))
        for path, rule in kind.merging.items():
            assert (plural, path, published.get(path)) == (plural, path, comparable(rule))


def comparable(rule: Merging) -> tuple[Any, ...]:
    return ("map", rule.keys, rule.whole_items) if isinstance(rule, ByKeys) else (type(rule),)


def merging(path: Path, field: Mapping[str, Any], all_of: Mapping[str, Any]) -> Iterator[tuple[Path, tuple[Any, ...]]]:
    """Of every field of the schema. Lists and objects that name no rule are not listed, or listed as atomic."""
    resolved = resolve(field, all_of)
    if resolved.get("x-kubernetes-map-type") == "atomic":
        yield path, (Atomic,)
    elif resolved.get("x-kubernetes-list-type") == "set":
        yield path, (AsSet,)
    elif resolved.get("x-kubernetes-list-type") == "map":
        items = resolve(resolved["items"], all_of)
        whole = items.get("x-kubernetes-map-type") == "atomic"
        yield path, ("map", tuple(resolved["x-kubernetes-list-map-keys"]), whole)
        for name, inner in items.get("properties", {}).items():
            yield from merging((*path, name), inner, all_of)
    elif resolved.get("type") == "array":
        yield path, (Atomic,)
    elif len(path) < 12:  # the schema of a CustomResourceDefinition's schema has no end
        for name, inner in resolved.get("properties", {}).items():
            yield from merging((*path, name), inner, all_of)


def resolve(field: Mapping[str, Any], all_of: Mapping[str, Any]) -> Mapping[str, Any]:
    """With what it refers to; marks beside a reference count."""
    if "$ref" not in field:
        return field
    return {**all_of[field["$ref"].rsplit("/", 1)[1]], **field}
