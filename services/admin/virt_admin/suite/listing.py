"""Reads the suite once, by lists. Called by `status` and `doctor`, and by `watch` before it begins.

An error ends the command. An object that does not decode is left out, and named if it is the suite's or a guest.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import Forbidden, KubeError, NotFound
from virt_core.kube.messages import decoded, read_list
from virt_core.kube.resource import KUBEVIRTS, Resource
from virt_core.objects.kubevirt import KubeVirt

from virt_admin.outcome import CannotTell
from virt_admin.suite.observed import Observed, suite_of
from virt_admin.suite.sources import SOURCES, Source, by_field, unreadable

T = TypeVar("T")
_DEADLINE = 60.0  # seconds; ten thousand guests are a hundred megabytes


async def read_suite(client: KubeClient) -> Observed | None:
    """The suite; None if there is no KubeVirt object.

    Raises:
        CannotTell: the API server does not answer, or refuses.
    """
    kubevirts = await listed(client, KUBEVIRTS, KubeVirt, optional=True)
    kubevirt = suite_of(kubevirts)
    if kubevirt is None:
        return None
    namespace = kubevirt.metadata.namespace
    answers = await asyncio.gather(*(_read(client, source, namespace) for source in SOURCES))
    found = by_field((source, objects) for source, (objects, _) in zip(SOURCES, answers, strict=True))
    unread = tuple(text for _, texts in answers for text in texts)
    return Observed(
        now=datetime.now(UTC), namespace=namespace, kubevirt=kubevirt, unreadable=unread, trouble="", **found
    )


async def _read(client: KubeClient, source: Source, namespace: str) -> tuple[list[object], list[str]]:
    """The objects, and those that do not decode."""
    within = namespace if source.in_namespace else None
    query = {"labelSelector": source.labels}
    raws = await _raws(client, source.resource, within, query, optional=source.optional)
    found, others = decoded(raws, source.kind)
    return list(found), [unreadable(source, key or ("", "?"), why) for key, why in others]


async def listed(
    client: KubeClient,
    resource: Resource,
    kind: type[T],
    namespace: str | None = None,
    *,
    labels: str = "",
    fields: str = "",
    optional: bool = False,
) -> list[T]:
    """The objects that match and decode; none if the kind is unknown and `optional`.

    Raises:
        CannotTell: the API server does not answer, or refuses.
    """
    query = {"labelSelector": labels, "fieldSelector": fields}
    raws = await _raws(client, resource, namespace, query, optional=optional)
    return decoded(raws, kind)[0]


async def _raws(
    client: KubeClient, resource: Resource, namespace: str | None, query: dict[str, str], *, optional: bool
) -> list[msgspec.Raw]:
    path, selectors = resource.path(namespace), {key: value for key, value in query.items() if value}
    try:
        async with client.stream(path, {**selectors, "resourceVersion": "0"}, _DEADLINE) as body:
            text = await body.read()
    except NotFound:
        if optional:
            return []
        raise CannotTell(f"the API server does not know {resource.plural}") from None
    except KubeError as error:
        raise refused(f"list {resource.plural}", error) from error
    return read_list(text).items


def refused(doing: str, error: KubeError) -> CannotTell:
    """The error that ends the command because the API server refuses `doing`, or does not answer."""
    if isinstance(error, Forbidden):
        return CannotTell(f"you may not {doing}: {error.message}")
    if error.status == 401:
        return CannotTell(f"the API server does not accept the kubeconfig's credentials: {error.message}")
    return CannotTell(f"cannot {doing}: {error}")
