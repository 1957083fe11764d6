"""Reads a namespace's rules for its pods' resources when the API server has refused a pod. Called by reconcile.py.

The cluster's ResourceQuotas and LimitRanges are not watched: most namespaces have none. Results are cached for a
minute, so that many VirtualMachineInstances of a namespace need only three requests in total. A refusal that the
cached rules do not explain shows that they are out of date.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
from virt_core import logs
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import LIMIT_RANGES, NAMESPACES, RESOURCE_QUOTAS
from virt_core.objects.meta import PartialObject

from virt_controller.execution import Refused
from virt_controller.pod.limits import LimitRange, NamespaceRules, Quota

_KEPT = 60.0  # seconds
_log = logs.bound("virt_controller.vmi.namespaces")


class Namespaces:
    """The rules of namespaces, as read within the last minute. `clock` is a monotonic time in seconds."""

    def __init__(self, client: KubeClient, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._read: dict[str, tuple[float, NamespaceRules]] = {}  # by namespace, with the time before the requests
        self._reading = asyncio.Lock()

    def known(self, namespace: str) -> NamespaceRules | None:
        """The cached rules; None if there are none or they are too old."""
        now = self._clock()
        self._read = {name: kept for name, kept in self._read.items() if now - kept[0] < _KEPT}
        return self._read[namespace][1] if namespace in self._read else None

    async def rules_of_refusal(self, refused: Refused, namespace: str, began: float) -> NamespaceRules:
        """The rules by which a pod may have been refused, read after the attempt `began`.

        Raises:
            Refused: rules do not refuse it, or they cannot be read.
        """
        if not refused.by_rules:
            raise refused
        try:
            return await self.read_after(began, namespace)
        except KubeError as unread:
            _log.warning("reporting a refused pod without its namespace's rules", reason=str(unread))
            raise refused from unread

    async def read_after(self, moment: float, namespace: str) -> NamespaceRules:
        """The rules, read after `moment`: callers that wait for the same namespace share the requests.

        Raises:
            KubeError: the API server does not answer.
        """
        async with self._reading:
            began, rules = self._read.get(namespace, (moment, None))
            if rules is None or began < moment:
                began, rules = self._clock(), await self._request(namespace)
                self._read[namespace] = began, rules
            return rules

    async def _request(self, namespace: str) -> NamespaceRules:
        quotas = await self._client.list(RESOURCE_QUOTAS, namespace)
        ranges = await self._client.list(LIMIT_RANGES, namespace)
        found = await self._client.get(NAMESPACES, None, namespace)
        return NamespaceRules(
            msgspec.convert(quotas, tuple[Quota, ...]),
            msgspec.convert(ranges, tuple[LimitRange, ...]),
            msgspec.convert(found, PartialObject).metadata.labels,
        )
