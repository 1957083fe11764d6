"""What the page shows, kept by watches: VMs, their events, the suite. Made by serve.py; each feed.py reads it.

Nothing is asked of the API server while nothing happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Key, Reflector
from virt_core.kube.resource import EVENTS, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from virt_core.vm.virtual_machine import VirtualMachine
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase

from virt_admin.suite.following import Follower
from virt_admin.suite.summary import Summary, handler_of, summarize
from virt_admin.ui.events import KINDS, Event, EventRow, event_row
from virt_admin.ui.machines import Row, row

MACHINES, EVENT, SUITE = "machines", "events", "suite"
Changed = tuple[str, Key]
"""MACHINES, EVENT or SUITE, and which."""

_SILENCE = 10.0  # seconds after which the suite is looked at again: a leader that is silent changes nothing
_SUITE: Changed = (SUITE, ("", ""))


class Board:
    """The state. Subscribers are called with what has changed, and only note it."""

    def __init__(self, client: KubeClient, namespace: str | None, suite: str) -> None:
        self._subscribers: set[Callable[[Changed], None]] = set()
        self._vms = Reflector(
            client, VIRTUAL_MACHINES, VirtualMachine, self._machine, namespace=namespace, optional=True
        )
        self._vmis = Reflector(
            client, VIRTUAL_MACHINE_INSTANCES, VirtualMachineInstance, self._machine, namespace=namespace, optional=True
        )
        self._events = [
            Reflector(
                client, EVENTS, Event, self._event, namespace=namespace, fields=f"regarding.kind={kind}", optional=True
            )
            for kind in KINDS
        ]
        self._follower = Follower(client, suite)

    def subscribe(self, on_change: Callable[[Changed], None]) -> None:
        """Call `on_change` for each change from now on, and now for everything that there is."""
        self._subscribers.add(on_change)
        for changed in self._all():
            on_change(changed)

    def unsubscribe(self, on_change: Callable[[Changed], None]) -> None:
        """Call it no more."""
        self._subscribers.discard(on_change)

    def machine(self, key: Key) -> Row | None:
        """The VM of that namespace and name."""
        return row(self._vms.get(key), self._vmis.get(key))

    def handler_of(self, key: Key) -> Key | None:
        """Namespace and name of the virt-handler where the guest of that namespace and name runs."""
        vmi, suite = self._vmis.get(key), self._follower.current
        if vmi is None or vmi.status.phase is not VmiPhase.RUNNING or suite is None:
            return None
        pod = handler_of(suite, vmi.status.node_name)
        return (pod.metadata.namespace, pod.metadata.name) if pod is not None else None

    def event(self, key: Key) -> EventRow | None:
        """The event of that namespace and name."""
        found = next(filter(None, (events.get(key) for events in self._events)), None)
        return event_row(found) if found is not None else None

    def suite(self) -> Summary | None:
        """The suite as `virtadm watch` shows it; None if there is no KubeVirt object."""
        current = self._follower.current
        return summarize(current) if current is not None else None

    def troubles(self) -> list[str]:
        """What is not followed now, or not shown, and why."""
        watched: dict[str, Reflector[Any]] = {"VirtualMachines": self._vms, "VirtualMachineInstances": self._vmis}
        found = [f"{what}: {kept.trouble}" for what, kept in watched.items() if kept.trouble]
        found += [f"events: {kept.trouble}" for kept in self._events[:1] if kept.trouble]
        if self._follower.trouble:
            found.append(f"the suite: {self._follower.trouble}")
        for what, kept in watched.items():
            found += [f"{what} {'/'.join(key)} cannot be read: {why}" for key, why in sorted(kept.undecodable.items())]
        return found

    @property
    def complete(self) -> bool:
        """Whether the VMs were read once."""
        return self._vms.synced.is_set() and self._vmis.synced.is_set()

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            reflectors: tuple[Reflector[Any], ...] = (self._vms, self._vmis, *self._events)
            for reflector in reflectors:
                group.create_task(reflector.run(), name="watch")
            group.create_task(self._follower.run(), name="watches of the suite")
            group.create_task(self._follow_suite(), name="changes of the suite")

    async def _follow_suite(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_SILENCE):
                    await self._follower.changed.wait()
            self._follower.changed.clear()
            self._notify(_SUITE)

    def _all(self) -> Iterator[Changed]:
        yield from ((MACHINES, vm.key) for vm in self._vms)
        yield from ((MACHINES, vmi.key) for vmi in self._vmis)
        for events in self._events:
            yield from ((EVENT, (event.metadata.namespace, event.metadata.name)) for event in events)
        yield _SUITE

    def _machine(self, key: Key) -> None:
        self._notify((MACHINES, key))

    def _event(self, key: Key) -> None:
        self._notify((EVENT, key))

    def _notify(self, changed: Changed) -> None:
        for subscriber in list(self._subscribers):
            subscriber(changed)


def encoded(value: Any) -> str:
    """As JSON."""
    return msgspec.json.encode(value).decode()
