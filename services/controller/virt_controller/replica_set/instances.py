"""VirtualMachineInstances by the replica set that controls them, and those that nobody controls. Used by reconcile.py.

Follows the cache of VirtualMachineInstances, which has no other index than the key.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from virt_core.kube.reflector import Key, Reflector
from virt_core.replica_set.replica_set import KIND
from virt_core.vmi.instance import VirtualMachineInstance

G = TypeVar("G", bound=Hashable)


class Instances:
    """Calls `changed` with a replica set's key after each change of a VirtualMachineInstance that it controls or
    controlled, and `orphan_changed` with one that has no controller after each of its changes."""

    def __init__(
        self,
        vmis: Reflector[VirtualMachineInstance],
        changed: Callable[[Key], None],
        orphan_changed: Callable[[VirtualMachineInstance], None],
    ) -> None:
        self._vmis = vmis
        self._changed = changed
        self._orphan_changed = orphan_changed
        self._owner: dict[Key, Key] = {}
        self._owned: dict[Key, set[Key]] = {}
        self._orphans: dict[str, set[Key]] = {}  # by namespace
        vmis.subscribe(self._vmi_changed)

    def of(self, key: Key, uid: str) -> tuple[VirtualMachineInstance, ...]:
        """Those that the replica set of this key and UID controls, sorted by name."""
        found = self._get(self._owned.get(key, set()))
        return tuple(vmi for vmi in found if vmi.metadata.controller_uid == uid)

    def orphans(self, namespace: str) -> tuple[VirtualMachineInstance, ...]:
        """Those of the namespace that have no controller, sorted by name."""
        return self._get(self._orphans.get(namespace, set()))

    def _get(self, keys: set[Key]) -> tuple[VirtualMachineInstance, ...]:
        return tuple(vmi for key in sorted(keys) if (vmi := self._vmis.get(key)) is not None)

    def _vmi_changed(self, key: Key) -> None:
        vmi = self._vmis.get(key)
        before, after = self._owner.pop(key, None), _owner(vmi)
        if before is not None:
            _discard(self._owned, before, key)
        if after is not None:
            self._owner[key] = after
            self._owned.setdefault(after, set()).add(key)
        _discard(self._orphans, key[0], key)
        if vmi is not None and not vmi.metadata.controller_uid:
            self._orphans.setdefault(key[0], set()).add(key)
            self._orphan_changed(vmi)
        for owner in {before, after} - {None}:
            assert owner is not None
            self._changed(owner)


def _owner(vmi: VirtualMachineInstance | None) -> Key | None:
    if vmi is None:
        return None
    owners = (owner for owner in vmi.metadata.owner_references if owner.controller and owner.kind == KIND)
    return next(((vmi.metadata.namespace, owner.name) for owner in owners), None)


def _discard(groups: dict[G, set[Key]], group: G, key: Key) -> None:
    members = groups.get(group, set())
    members.discard(key)
    if not members:
        groups.pop(group, None)
