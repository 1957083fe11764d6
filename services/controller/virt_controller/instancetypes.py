"""Cache of the cluster's instance types and preferences. Part of caches.py; read by vm/reconcile.py.

A VirtualMachine that waits for an object is reported when the object appears, so nobody asks for it again and again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

from virt_core.instancetype.matcher import RESOURCES
from virt_core.instancetype.stored import StoredObject
from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Key, Reflector
from virt_core.kube.resource import Resource

_Missing = tuple[Resource, Key]


class Instancetypes:
    """All four kinds. Until their definitions exist they have no objects."""

    def __init__(self, client: KubeClient) -> None:
        self._reflectors = {
            resource: Reflector(client, resource, StoredObject, partial(self._changed, resource), optional=True)
            for pair in RESOURCES.values()
            for resource in pair
        }
        self._waiting: dict[_Missing, set[Key]] = {}
        self._awaited: dict[Key, set[_Missing]] = {}  # the same by VirtualMachine
        self._subscribers: list[Callable[[Key], None]] = []

    def subscribe(self, appeared: Callable[[Key], None]) -> None:
        """Call `appeared(vm)` with the key of each VirtualMachine for whose object `find` returned None."""
        self._subscribers.append(appeared)

    def find(self, resource: Resource, name: str, vm: Key) -> StoredObject | None:
        """The object of that name for the VirtualMachine of the key `vm`. None: there is none; wait for it."""
        key = (vm[0] if resource.namespaced else "", name)
        found = self._reflectors[resource].get(key)
        if found is None:
            self._waiting.setdefault((resource, key), set()).add(vm)
            self._awaited.setdefault(vm, set()).add((resource, key))
        return found

    def forget(self, vm: Key) -> None:
        """The VirtualMachine is gone, or is about to be looked at again: it waits for nothing."""
        for missing in self._awaited.pop(vm, ()):
            machines = self._waiting[missing]
            machines.discard(vm)
            if not machines:
                del self._waiting[missing]

    @property
    def synced(self) -> tuple[asyncio.Event, ...]:
        """One for each kind, set after the first list."""
        return tuple(reflector.synced for reflector in self._reflectors.values())

    def watches(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """Each watch with a name for its task."""
        for resource, reflector in self._reflectors.items():
            yield f"watch of {resource.kind}", reflector.run()

    def _changed(self, resource: Resource, key: Key) -> None:
        for vm in tuple(self._waiting.get((resource, key), ())):
            self.forget(vm)
            for appeared in self._subscribers:
                appeared(vm)
