"""VirtualMachineInstanceMigrations by the VirtualMachineInstance that they move. Created by caches.py, once for all
reconcilers."""

from __future__ import annotations

from collections.abc import Callable

from virt_core.kube.reflector import Key, Reflector
from virt_core.migration.migration import VirtualMachineInstanceMigration


class Migrations:
    """An index of the cache."""

    def __init__(self, cache: Reflector[VirtualMachineInstanceMigration]) -> None:
        self._cache = cache
        self._subscribers: list[Callable[[Key], None]] = []
        self._vmi_of: dict[Key, Key] = {}
        self._of: dict[Key, set[Key]] = {}
        cache.subscribe(self._update)

    def subscribe(self, changed: Callable[[Key], None]) -> None:
        """Call `changed(key)` with the VirtualMachineInstance's key after each change of one of its migrations."""
        self._subscribers.append(changed)

    def of(self, vmi: Key) -> tuple[VirtualMachineInstanceMigration, ...]:
        """The migrations of the VirtualMachineInstance of that key, the newest last."""
        found = (self._cache.get(key) for key in self._of.get(vmi, ()))
        present = [migration for migration in found if migration is not None]
        return tuple(sorted(present, key=lambda job: (job.metadata.creation_timestamp, job.metadata.name)))

    def _update(self, key: Key) -> None:
        before, migration = self._vmi_of.pop(key, None), self._cache.get(key)
        if before is not None:
            self._of[before].discard(key)
            if not self._of[before]:
                del self._of[before]
        if migration is not None:
            self._vmi_of[key] = migration.vmi_key
            self._of.setdefault(migration.vmi_key, set()).add(key)
        for vmi in {before, self._vmi_of.get(key)}:
            if vmi is not None:
                for subscriber in self._subscribers:
                    subscriber(vmi)
