"""Reads what a namespace says about its pods' resources, when the API server has refused one. Called by reconcile.py.

Quotas and LimitRanges of a whole cluster are not watched: most namespaces have none. What was read is kept for a
minute, so that many VirtualMachineInstances of one namespace cost three requests and not three each.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import LIMIT_RANGES, NAMESPACES, RESOURCE_QUOTAS
from virt_core.objects.meta import PartialObject

from virt_controller.pod.limits import LimitRange, NamespaceRules, Quota

_KEPT = 60.0  # seconds


class Namespaces:
    """The rules of namespaces, as read within the last minute. `clock` is a monotonic time in seconds."""

    def __init__(self, client: KubeClient, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._read: dict[str, tuple[float, NamespaceRules]] = {}

    def known(self, namespace: str) -> NamespaceRules | None:
        """What was read, if that is not long ago."""
        now = self._clock()
        self._read = {name: kept for name, kept in self._read.items() if now - kept[0] < _KEPT}
        return self._read[namespace][1] if namespace in self._read else None

    async def read(self, namespace: str) -> NamespaceRules:
        """Ask the API server.

        Raises:
            KubeError: it does not answer.
        """
        quotas = await self._client.list(RESOURCE_QUOTAS, namespace)
        ranges = await self._client.list(LIMIT_RANGES, namespace)
        found = await self._client.get(NAMESPACES, None, namespace)
        rules = NamespaceRules(
            msgspec.convert(quotas, tuple[Quota, ...]),
            msgspec.convert(ranges, tuple[LimitRange, ...]),
            msgspec.convert(found, PartialObject).metadata.labels,
        )
        self._read[namespace] = self._clock(), rules
        return rules
