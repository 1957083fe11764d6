"""The commands of the Helm chart's two Jobs. Called by __main__.py in those Jobs.

The post-install Job labels the namespace, which cannot be part of a chart, and applies the KubeVirt object as soon as
its kind is served. The pre-delete Job deletes it and waits until the operator has removed the suite, or refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from virt_core import logs
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import Conflict, NotFound, Unavailable
from virt_core.kube.resource import KUBEVIRTS, NAMESPACES

from virt_operator.strategy.operator_objects import NAMESPACE_LABELS

Answer = TypeVar("Answer")
_MANAGER = "helm-chart"
_KUBEVIRT = "kubevirt"  # the name in charts/kubevirt
_AGAIN = 1.0  # seconds between attempts
_LOG = logs.bound("virt_operator.packaging.chart_hooks")


class StillInUse(Exception):
    """A KubeVirt object exists that the chart must not delete: the user has to delete it first."""


async def after_install(client: KubeClient, namespace: str, kubevirt: dict[str, Any] | None) -> None:
    """Label the namespace and apply `kubevirt` unless it is None.

    Raises:
        Forbidden, Invalid: the API server or the operator's webhook refuses; a retry does not help.
    """
    _LOG.info("labelling", namespace=namespace)
    labels = {"metadata": {"labels": NAMESPACE_LABELS}}
    await _patiently(lambda: client.merge_patch(NAMESPACES, None, namespace, labels))
    if kubevirt is None:
        return
    _LOG.info("applying", kubevirt=kubevirt["metadata"]["name"])
    # NotFound: the CRD is not served yet. Unavailable: the operator's webhook does not serve yet.
    await _patiently(lambda: client.apply(KUBEVIRTS, namespace, kubevirt, manager=_MANAGER))


async def before_removal(client: KubeClient, namespace: str, *, delete: bool) -> None:
    """Delete the chart's KubeVirt object, if `delete`, and return when there is none.

    Raises:
        StillInUse: there is an object that this Job must not delete.
        Forbidden, Invalid: the operator's webhook refuses, for example while there are VMs.
    """
    names = await _patiently(lambda: _names(client, namespace))
    others = [name for name in names if not delete or name != _KUBEVIRT]
    if others:
        raise StillInUse(f"delete the KubeVirt object first: kubectl -n {namespace} delete kubevirt {' '.join(others)}")
    if names:
        _LOG.info("deleting", kubevirt=names[0])
        await _patiently(lambda: _delete(client, namespace, names[0]))
    while await _patiently(lambda: _names(client, namespace)):  # noqa: ASYNC110 - the operator lets it go
        await asyncio.sleep(_AGAIN)


async def _names(client: KubeClient, namespace: str) -> list[str]:
    try:
        return [str(kubevirt["metadata"]["name"]) for kubevirt in await client.list(KUBEVIRTS, namespace)]
    except NotFound:
        return []  # its kind is not installed


async def _delete(client: KubeClient, namespace: str, name: str) -> None:
    try:
        await client.delete(KUBEVIRTS, namespace, name)
    except NotFound:
        pass  # it is gone already


async def _patiently(request: Callable[[], Awaitable[Answer]]) -> Answer:
    """Repeat the request until it succeeds. helm's --timeout limits the Job."""
    while True:
        try:
            return await request()
        except (NotFound, Conflict, Unavailable) as error:
            _LOG.info("retrying", reason=str(error))
            await asyncio.sleep(_AGAIN)
