"""Follows the suite by watches. Called by `watch`; nothing is asked of the API server while nothing happens."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import KUBEVIRTS
from virt_core.objects.kubevirt import KubeVirt

from virt_admin.suite.observed import Observed, suite_of
from virt_admin.suite.sources import SOURCES, Source, by_field, unreadable


class Follower:
    """The suite in `namespace`. `changed` is set whenever something has changed."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.changed = asyncio.Event()
        self._namespace = namespace
        self._kubevirts = Reflector(client, KUBEVIRTS, KubeVirt, self._stir, optional=True)
        self._reflectors: list[tuple[Source, Reflector[Any]]] = []
        for source in SOURCES:
            reflector: Reflector[Any] = Reflector(
                client,
                source.resource,
                source.kind,
                self._stir,
                namespace=namespace if source.in_namespace else None,
                labels=source.labels,
                optional=source.optional,
            )
            self._reflectors.append((source, reflector))

    @property
    def current(self) -> Observed | None:
        """The suite as last seen; None if there is no KubeVirt object."""
        kubevirt = suite_of(self._kubevirts)
        if kubevirt is None:
            return None
        unread = [
            unreadable(source, key, why)
            for source, reflector in self._reflectors
            for key, why in sorted(reflector.undecodable.items())
        ]
        return Observed(
            now=datetime.now(UTC),
            namespace=self._namespace,
            kubevirt=kubevirt,
            unreadable=tuple(unread),
            trouble=self.trouble,
            **by_field(self._reflectors),
        )

    @property
    def trouble(self) -> str:
        """Why what is known may be old; "" if it is not."""
        return next((reflector.trouble for reflector in self._all if reflector.trouble), "")

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in self._all:
                group.create_task(reflector.run(), name="watch")

    async def synced(self) -> None:
        """Return when everything was read once."""
        for reflector in self._all:
            await reflector.synced.wait()

    @property
    def _all(self) -> tuple[Reflector[Any], ...]:
        return (self._kubevirts, *(reflector for _, reflector in self._reflectors))

    def _stir(self, key: tuple[str, str]) -> None:
        self.changed.set()
