"""Reads the operator's permissions from the API server periodically while it leads. Called by the reconciler; a
plan of an upgrade reads them once.

So a missing permission, for example after an operator was applied without its roles, appears on the KubeVirt object
within half a minute, and not only when the permission is needed. A review takes a request per namespace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from virt_core import logs
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import Resource

from virt_operator.suite.permissions import Held

_REVIEWS = Resource("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", namespaced=False)
_EVERY = 20.0  # seconds
_AGAIN = 1.0  # seconds, after a failure


async def review_permissions(client: KubeClient, namespaces: tuple[str, ...], report: Callable[[Held], None]) -> None:
    """Call `report` with the rules held in `namespaces`, now and every `_EVERY` seconds, until cancelled."""
    log = logs.bound("virt_operator.permission_review")
    while True:
        try:
            held = await held_in(client, namespaces)
        except KubeError as error:
            log.warning("retrying to read the permissions", reason=str(error))
            await asyncio.sleep(_AGAIN)
            continue
        report(held)
        await asyncio.sleep(_EVERY)


async def held_in(client: KubeClient, namespaces: Iterable[str]) -> Held:
    """The rules that the operator holds in each of `namespaces`.

    Raises:
        KubeError: the API server does not answer.
    """
    held = {}
    for namespace in namespaces:
        answer = await client.create(_REVIEWS, None, {"spec": {"namespace": namespace}})
        held[namespace] = tuple(answer["status"].get("resourceRules") or ())
    return held
