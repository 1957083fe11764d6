"""The cluster's current configuration, from the KubeVirt object. Watched by controller, handler and API.

A process that cannot read the KubeVirt object has no configuration and does not assume KubeVirt's defaults: a guest
that starts with `useEmulation: false` on a cluster that emulates never runs. Callers wait until there is one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from virt_core import logs
from virt_core.conventions.releases import minors_behind
from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import KUBEVIRTS
from virt_core.objects.kubevirt import Configuration, KubeVirt, LogVerbosity, by_precedence


class ConfigurationCache:
    """Follows the KubeVirt object of the suite's namespace."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._namespace = namespace
        self._kubevirts = Reflector(client, KUBEVIRTS, KubeVirt, namespace=namespace)

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Call `on_change()` after each change. It may only enqueue work."""
        self._kubevirts.subscribe(lambda _: on_change())

    def log_as_configured(self, chosen: Callable[[LogVerbosity], int]) -> None:
        """Let this process log as the KubeVirt object says, now and after each change, without a restart."""

        def apply() -> None:
            current = self.current
            logs.set_verbosity(chosen(current.developer_configuration.log_verbosity) if current is not None else 0)

        self.subscribe(apply)

    @property
    def synced(self) -> asyncio.Event:
        """Set after the first list."""
        return self._kubevirts.synced

    async def run(self) -> None:
        """Keep the cache until cancelled."""
        await self._kubevirts.run()

    @property
    def current(self) -> Configuration | None:
        """The configuration, or its last version that decoded; None if there is none (see `unknown`)."""
        counts = self._counts
        return counts.spec.configuration if counts is not None else None

    @property
    def kubevirt(self) -> KubeVirt | None:
        """The KubeVirt object that `current` comes from, or its last version that decoded."""
        return self._counts

    def machine_types(self, launcher: str) -> Mapping[str, str]:
        """By alias, the machine type for guests that start while a roll back is open (WayBack.machine_types), in a
        launcher of the release `launcher`. One that is older than the release to go back to may not know these types,
        and what it makes of aliases is known there."""
        counts = self._counts
        way_back = counts.status.way_back if counts is not None else None
        if way_back is None or (minors_behind(launcher, way_back.release) or 0) > 0:
            return {}
        return way_back.machine_types

    @property
    def resource_version(self) -> str:
        """Of the KubeVirt object that `current` comes from; "" while there is none."""
        counts = self._counts
        return counts.metadata.resource_version if counts is not None else ""

    @property
    def unknown(self) -> str:
        """A message that says why there is no configuration; "" if there is one."""
        if self._counts is not None:
            return ""
        for (_, name), reason in self._never_decoded():
            return f"KubeVirt object {name} in namespace {self._namespace} cannot be read: {reason}"
        return f"there is no KubeVirt object in namespace {self._namespace}"

    @property
    def _counts(self) -> KubeVirt | None:
        # An object that never decoded may be the one that counts.
        return None if self._never_decoded() else by_precedence(self._kubevirts, self._namespace)[0]

    def _never_decoded(self) -> list[tuple[tuple[str, str], str]]:
        found = self._kubevirts.undecodable.items()
        return [(key, reason) for key, reason in found if self._kubevirts.get(key) is None]
