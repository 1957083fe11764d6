"""The VirtualMachineInstances of this node: those whose guest is here, and those whose guest is about to arrive.

Label selectors cannot be alternatives, so there are two reflectors. During a migration one object may be in both or,
for a moment, in neither. Created by app.py; read by reconcile.py and service/.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Protocol

from virt_core.conventions.labels import NODE_NAME
from virt_core.conventions.migration import TARGET_NODE_NAME
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.reflector import Key, Reflector
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES
from virt_core.vmi.instance import VirtualMachineInstance


class VmiCache(Protocol):
    """VirtualMachineInstances as last seen."""

    @property
    def synced(self) -> asyncio.Event:
        """Set once the cache is complete."""

    def get(self, key: Key) -> VirtualMachineInstance | None:
        """The object as last seen."""

    def __iter__(self) -> Iterator[VirtualMachineInstance]: ...


class OwnVmis:
    """The cache of both. `on_change` may only enqueue the key."""

    def __init__(self, client: KubeClient, node: str, on_change: Callable[[Key], None]) -> None:
        self._parts = tuple(
            Reflector(client, VIRTUAL_MACHINE_INSTANCES, VirtualMachineInstance, on_change, labels=f"{label}={node}")
            for label in (NODE_NAME, TARGET_NODE_NAME)
        )
        self.synced = asyncio.Event()

    def get(self, key: Key) -> VirtualMachineInstance | None:
        """The newest version that either reflector has seen."""
        found = [vmi for part in self._parts if (vmi := part.get(key)) is not None]
        return max(found, key=_version) if found else None

    def __iter__(self) -> Iterator[VirtualMachineInstance]:
        keys = dict.fromkeys(vmi.key for part in self._parts for vmi in part)
        return (vmi for key in keys if (vmi := self.get(key)) is not None)

    def rewrote(self, answer: Object) -> None:
        """Store the API server's response to our own write of an object that is here."""
        for part in self._parts:
            part.rewrote(answer)

    async def run(self) -> None:
        """Keep the cache until cancelled."""
        async with asyncio.TaskGroup() as group:
            for part, name in zip(self._parts, ("present", "arriving"), strict=True):
                group.create_task(part.run(), name=f"{name} machines")
            for part in self._parts:
                await part.synced.wait()
            self.synced.set()


def _version(vmi: VirtualMachineInstance) -> int:
    """Versions of a resource are ordered (KEP-5504)."""
    version = vmi.metadata.resource_version
    return int(version) if version.isdecimal() else 0
