"""Sample objects and expected refusals, shared by the checks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from virt_core.kube.client import KubeClient
from virt_core.kube.errors import AlreadyExists, KubeError
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import CONFIG_MAPS, PODS, SERVICE_ACCOUNTS
from virt_core.objects.meta import PartialObject

Object = dict[str, Any]
Check = Callable[[KubeClient, str], Awaitable[None]]
DEADLINE = 120.0  # seconds for a change to be seen by watch, also on a busy machine


def config_map(name: str, **labels: str) -> Object:
    """A ConfigMap with a single value, "a"."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": {"a": "1"}}


async def pod(
    client: KubeClient,
    namespace: str,
    name: str,
    *,
    node: str | None = None,
    grace: int = 0,
    finalizers: list[str] | None = None,
) -> Object:
    """A pod that no kubelet and no scheduler knows."""
    with suppress(AlreadyExists):  # pods are refused until a controller has made it
        await client.create(SERVICE_ACCOUNTS, namespace, {"metadata": {"name": "default"}})
    spec = {
        "schedulerName": "nobody",
        "terminationGracePeriodSeconds": grace,
        "containers": [{"name": "none", "image": "none"}],
        **({"nodeName": node} if node else {}),
    }
    metadata = {"name": name, **({"finalizers": finalizers} if finalizers else {})}
    return await client.create(PODS, namespace, {"metadata": metadata, "spec": spec})


async def refused(kind: type[KubeError], call: Awaitable[object]) -> KubeError:
    """The error that the call raises. It must be of exactly this class."""
    try:
        answer = await call
    except KubeError as error:
        assert type(error) is kind, error
        return error
    raise AssertionError(f"{kind.__name__} expected, not {answer}")


async def cached(client: KubeClient, namespace: str, name: str) -> None:
    """Wait until the server's cache, which answers lists and watches, has the ConfigMap."""
    seen = asyncio.Event()
    fields = f"metadata.name={name}"
    reflector = Reflector(client, CONFIG_MAPS, PartialObject, lambda _: seen.set(), namespace=namespace, fields=fields)
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
        running = group.create_task(reflector.run(), name="reflector")
        await seen.wait()
        running.cancel()
