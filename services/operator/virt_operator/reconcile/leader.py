"""Who holds virt-controller's Lease, since when, and how long nobody held it before. Called by inventory.py.

A leader renews its Lease every few seconds, which says nothing new. What was before this process looked is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
from virt_core.conventions import components
from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Key, Reflector
from virt_core.kube.resource import LEASES
from virt_core.objects.meta import ObjectMeta


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    holder_identity: str = ""


class _Lease(msgspec.Struct, frozen=True, rename="camel"):
    metadata: ObjectMeta
    spec: _Spec = _Spec()


class ControllerLeader:
    """The leader; `changed()` is called when it is another."""

    def __init__(self, client: KubeClient, namespace: str, changed: Callable[[], None]) -> None:
        self._notify = changed
        self.name = ""
        """Name of its pod; "" if nobody leads, or it is unknown."""

        self.since: datetime | None = None
        """When it was seen first that it leads, or that nobody does."""

        self.vacancy = timedelta(0)
        """How long nobody was seen to lead before."""

        fields = f"metadata.name={components.CONTROLLER}"
        self._leases = Reflector(client, LEASES, _Lease, self._changed, namespace=namespace, fields=fields)

    async def run(self) -> None:
        """Follow the Lease until cancelled."""
        await self._leases.run()

    def _changed(self, key: Key) -> None:
        lease = self._leases.get(key)
        name = lease.spec.holder_identity if lease is not None else ""
        if name != self.name or self.since is None:
            now = datetime.now(UTC)
            self.vacancy = now - self.since if self.since is not None and not self.name else timedelta(0)
            self.name, self.since = name, now
            self._notify()
