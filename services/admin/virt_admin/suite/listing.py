"""Reads the suite once, by lists. Called by `status` and `doctor`, and by `watch` before it begins.

An error ends the command. An object that does not decode is left out.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import Forbidden, KubeError, NotFound
from virt_core.kube.messages import read_list
from virt_core.kube.resource import KUBEVIRTS, Resource
from virt_core.objects.kubevirt import KubeVirt

from virt_admin.outcome import CannotTell
from virt_admin.suite.observed import Observed, suite_of
from virt_admin.suite.sources import SOURCES, Source, by_field

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
    found = by_field(zip(SOURCES, answers, strict=True))
    return Observed(now=datetime.now(UTC), namespace=namespace, kubevirt=kubevirt, trouble="", **found)


async def _read(client: KubeClient, source: Source, namespace: str) -> list[object]:
    within = namespace if source.in_namespace else None
    return await listed(client, source.resource, source.kind, within, labels=source.labels, optional=source.optional)


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
    query = {"labelSelector": labels, "fieldSelector": fields, "resourceVersion": "0"}
    path = resource.path(namespace)
    try:
        async with client.stream(path, {key: value for key, value in query.items() if value}, _DEADLINE) as body:
            text = await body.read()
    except NotFound:
        if optional:
            return []
        raise CannotTell(f"the API server does not know {resource.plural}") from None
    except KubeError as error:
        raise refused(f"list {resource.plural}", error) from error
    decoder, found = msgspec.json.Decoder(kind), []
    for raw in read_list(text).items:
        try:
            found.append(decoder.decode(raw))
        except (msgspec.ValidationError, RecursionError):
            continue
    return found


def refused(doing: str, error: KubeError) -> CannotTell:
    """The error that ends the command because the API server refuses `doing`, or does not answer."""
    if isinstance(error, Forbidden):
        return CannotTell(f"you may not {doing}: {error.message}")
    if error.status == 401:
        return CannotTell(f"the API server does not accept the kubeconfig's credentials: {error.message}")
    return CannotTell(f"cannot {doing}: {error}")
