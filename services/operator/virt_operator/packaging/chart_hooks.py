"""What the Helm chart's two Jobs do around the operator's own objects. Called by __main__.py in those Jobs.

After the installation they label the namespace, which a chart cannot hold, and apply the KubeVirt object as soon as its
kind is served. Before the removal they delete it and wait until the operator has removed the suite, or refuse.
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
_KUBEVIRT = "kubevirt"  # as charts/kubevirt calls it
_AGAIN = 1.0  # seconds between two attempts
_LOG = logs.bound("virt_operator.packaging.chart_hooks")


class StillInUse(Exception):
    """A KubeVirt object is there that is not the chart's to delete: the user deletes it first."""


async def after_install(client: KubeClient, namespace: str, kubevirt: dict[str, Any] | None) -> None:
    """Label the namespace and apply `kubevirt`, if given.

    Raises:
        Forbidden, Invalid: the API server or the operator's webhook refuses; repeating does not help.
    """
    _LOG.info("labelling", namespace=namespace)
    labels = {"metadata": {"labels": NAMESPACE_LABELS}}
    await _patiently(lambda: client.merge_patch(NAMESPACES, None, namespace, labels))
    if kubevirt is None:
        return
    _LOG.info("applying", kubevirt=kubevirt["metadata"]["name"])
    # Not found: its definition is not served yet. Unavailable: nor is the operator's webhook.
    await _patiently(lambda: client.apply(KUBEVIRTS, namespace, kubevirt, manager=_MANAGER))


async def before_removal(client: KubeClient, namespace: str, *, delete: bool) -> None:
    """Delete the chart's KubeVirt object, if `delete`, and return when there is none.

    Raises:
        StillInUse: there is one that is not to be deleted here.
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
        return []  # not even its kind is there


async def _delete(client: KubeClient, namespace: str, name: str) -> None:
    try:
        await client.delete(KUBEVIRTS, namespace, name)
    except NotFound:
        pass  # that is what was wanted


async def _patiently(request: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask until there is an answer; helm's own --timeout ends a Job that waits in vain."""
    while True:
        try:
            return await request()
        except (NotFound, Conflict, Unavailable) as error:
            _LOG.info("trying again", reason=str(error))
            await asyncio.sleep(_AGAIN)
