"""Asks the API server what the operator may do, again and again while it leads. Called by the reconciler.

Whoever takes a permission away, or applies an operator without its roles, is told on the KubeVirt object within half a
minute, not when the permission happens to be used. A rule review takes one request a namespace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from virt_core import logs
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import Resource

from virt_operator.suite.permissions import Held

_REVIEWS = Resource("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", namespaced=False)
_EVERY = 20.0  # seconds
_AGAIN = 1.0  # seconds, after a failure


async def review_permissions(client: KubeClient, namespaces: tuple[str, ...], report: Callable[[Held], None]) -> None:
    """Call `told` with what is held in `namespaces`, now and then every `_EVERY` seconds, until cancelled."""
    log = logs.bound("virt_operator.permission_review")
    while True:
        try:
            answers = [
                await client.create(_REVIEWS, None, {"spec": {"namespace": namespace}}) for namespace in namespaces
            ]
        except KubeError as error:
            log.warning("asking again for the permissions", reason=str(error))
            await asyncio.sleep(_AGAIN)
            continue
        report(
            {
                namespace: tuple(answer["status"].get("resourceRules") or ())
                for namespace, answer in zip(namespaces, answers, strict=True)
            }
        )
        await asyncio.sleep(_EVERY)
