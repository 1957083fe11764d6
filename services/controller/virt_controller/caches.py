"""Caches that all reconcilers of this process share, with a watch for each kind. Created and run by app.py.

Reconcilers subscribe to changes and read; besides the watch only `wrote` changes a cache. Caches know no reconciler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from virt_core.conventions import components, labels
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.configuration import ConfigurationCache
from virt_core.kube.reflector import Key, Reflector
from virt_core.kube.resource import (
    MIGRATION_POLICIES,
    NAMESPACES,
    NODES,
    PODS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)
from virt_core.migration.migration import VirtualMachineInstanceMigration
from virt_core.migration.policy import MigrationPolicy
from virt_core.objects.meta import PartialObject
from virt_core.replica_set.replica_set import VirtualMachineInstanceReplicaSet
from virt_core.vm.virtual_machine import VirtualMachine
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.index import Index
from virt_controller.instancetypes import Instancetypes
from virt_controller.migrations import Migrations
from virt_controller.node.observe import Node
from virt_controller.pod.observed import LauncherPod, belongs_to


class Caches:
    """Subscribe to them before `run`.

    The suite's own kinds are optional: during its removal the definition of one may be gone, while objects of another
    still wait for their controller.
    """

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.vmis = Reflector(client, VIRTUAL_MACHINE_INSTANCES, VirtualMachineInstance, optional=True)
        self.vms = Reflector(client, VIRTUAL_MACHINES, VirtualMachine, optional=True)
        self.replica_sets = Reflector(
            client, VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS, VirtualMachineInstanceReplicaSet, optional=True
        )
        self.migrations = Reflector(
            client, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, VirtualMachineInstanceMigration, optional=True
        )
        self.vmis_on_nodes = Index(self.vmis, _nodes_of)
        self.waiting_vmis = Index(self.vmis, lambda vmi: () if vmi.status.active_pods else (vmi.metadata.namespace,))
        """Those without a pod, by namespace."""

        self.replica_sets_in = Index(self.replica_sets, lambda replica_set: (replica_set.metadata.namespace,))
        self.unfinished_migrations = Index(
            self.migrations, lambda job: () if job.status.phase.final else (job.metadata.namespace,)
        )
        self.migrations_of_vmis = Migrations(self.migrations)
        self.policies = Reflector(client, MIGRATION_POLICIES, MigrationPolicy, optional=True)
        self.nodes = Reflector(client, NODES, Node)
        self.handled_nodes = Index(self.nodes, lambda node: ("",) if labels.SCHEDULABLE in node.metadata.labels else ())
        """Those that have had a handler, ready or not, in a single group."""

        self.namespaces = Reflector(client, NAMESPACES, PartialObject)
        self.pods = LauncherPods(client, self.vmis)
        self.instancetypes = Instancetypes(client)
        self.configuration = ConfigurationCache(client, namespace)

    async def wait(self) -> None:
        """Return when every cache is complete. Before that, an object that is missing from a cache may exist."""
        for synced in self._synced:
            await synced.wait()

    @property
    def complete(self) -> bool:
        """Whether every cache is complete."""
        return all(synced.is_set() for synced in self._synced)

    async def run(self) -> None:
        """Keep the caches until cancelled. A standby does so as well, to take over without delay."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.vmis.run(), name="watch of VirtualMachineInstances")
            group.create_task(self.vms.run(), name="watch of VirtualMachines")
            group.create_task(self.replica_sets.run(), name="watch of VirtualMachineInstanceReplicaSets")
            group.create_task(self.migrations.run(), name="watch of VirtualMachineInstanceMigrations")
            group.create_task(self.policies.run(), name="watch of MigrationPolicies")
            group.create_task(self.pods.run(), name="watch of launcher pods")
            group.create_task(self.nodes.run(), name="watch of nodes")
            group.create_task(self.namespaces.run(), name="watch of namespaces")
            group.create_task(self.configuration.run(), name="watch of the KubeVirt object")
            for name, watch in self.instancetypes.watches():
                group.create_task(watch, name=name)

    @property
    def _synced(self) -> tuple[asyncio.Event, ...]:
        kinds = (self.vmis, self.vms, self.replica_sets, self.migrations, self.policies)
        caches = (*kinds, self.pods, self.nodes, self.namespaces, self.configuration)
        return (*(cache.synced for cache in caches), *self.instancetypes.synced)


class LauncherPods:
    """Launcher pods by VirtualMachineInstance and by their own UID.

    Also keeps the last version of a pod that has ended and was removed, as long as its VirtualMachineInstance exists:
    the kubelet reports the end and removes the pod within milliseconds, which a busy worker would miss.
    """

    def __init__(self, client: KubeClient, vmis: Reflector[VirtualMachineInstance]) -> None:
        self._vmis = vmis
        self._reflector = Reflector(
            client, PODS, LauncherPod, self._changed, labels=f"{labels.APP}={components.LAUNCHER}"
        )
        self._indexed: dict[Key, LauncherPod] = {}
        self._by_uid: dict[str, LauncherPod] = {}
        self._of: dict[str, dict[Key, LauncherPod]] = {}  # by the UID of their VirtualMachineInstance
        self._removed: dict[Key, dict[str, LauncherPod]] = {}  # by the key of it, then by their own UID
        self._subscribers: list[Callable[[Key], None]] = []
        vmis.subscribe(self._forget_removed)

    def subscribe(self, changed: Callable[[Key], None]) -> None:
        """Call `changed(key)` with the VirtualMachineInstance's key after each change of one of its pods."""
        self._subscribers.append(changed)

    @property
    def synced(self) -> asyncio.Event:
        """Set after the first list."""
        return self._reflector.synced

    async def run(self) -> None:
        """Keep the cache until cancelled."""
        await self._reflector.run()

    def of(self, vmi: VirtualMachineInstance) -> tuple[LauncherPod, ...]:
        """The pods of the VirtualMachineInstance, sorted by name."""
        found = self._of.get(vmi.metadata.uid, {}).values()
        mine = (pod for pod in found if belongs_to(pod.metadata, vmi.metadata))
        return tuple(sorted(mine, key=lambda pod: pod.metadata.name))

    def wrote(self, answer: Object) -> None:
        """Store the API server's response to our own creation of a pod."""
        self._reflector.wrote(answer)

    def rewrote(self, answer: Object) -> None:
        """Store the API server's response to our own write of a pod that is here."""
        self._reflector.rewrote(answer)

    def get(self, uid: str) -> LauncherPod | None:
        """The pod of that UID."""
        return self._by_uid.get(uid)

    def concerning(self, vmi: VirtualMachineInstance) -> tuple[LauncherPod, ...]:
        """The pods of the VirtualMachineInstance and those in its activePods, sorted by UID."""
        known = {pod.metadata.uid: pod for pod in self.of(vmi)}
        known |= {uid: pod for uid in vmi.status.active_pods if (pod := self.get(uid)) is not None}
        return tuple(known[uid] for uid in sorted(known))

    def removed(self, vmi: VirtualMachineInstance) -> tuple[LauncherPod, ...]:
        """The last version of pods in activePods that have ended and been removed."""
        found = self._removed.get(vmi.key, {})
        return tuple(found[uid] for uid in sorted(vmi.status.active_pods) if uid in found)

    def _changed(self, key: Key) -> None:
        before, pod = self._indexed.pop(key, None), self._reflector.get(key)
        if before is not None:
            self._take_out(key, before)
        if pod is not None:
            self._indexed[key] = self._by_uid[pod.metadata.uid] = pod
            self._of.setdefault(_created_by(pod), {})[key] = pod
        if before is not None and (pod is None or pod.metadata.uid != before.metadata.uid):
            self._keep_removed(before)
        for changed in {_owner(version) for version in (before, pod) if version is not None}:
            for subscriber in self._subscribers:
                subscriber(changed)

    def _take_out(self, key: Key, pod: LauncherPod) -> None:
        del self._by_uid[pod.metadata.uid]
        siblings = self._of[_created_by(pod)]
        del siblings[key]
        if not siblings:
            del self._of[_created_by(pod)]

    def _keep_removed(self, pod: LauncherPod) -> None:
        vmi = self._vmis.get(_owner(pod))
        if pod.ended and vmi is not None and pod.metadata.uid in vmi.status.active_pods:
            self._removed.setdefault(vmi.key, {})[pod.metadata.uid] = pod

    def _forget_removed(self, key: Key) -> None:
        vmi = self._vmis.get(key)
        if vmi is None or not vmi.status.active_pods.keys() & self._removed.get(key, {}).keys():
            self._removed.pop(key, None)


def _nodes_of(vmi: VirtualMachineInstance) -> set[str]:
    """The nodes that a VirtualMachineInstance is on, arrives at or has to leave."""
    status = vmi.status
    return {*status.active_pods.values(), status.node_name, status.evacuation_node_name} - {""}


def _created_by(pod: LauncherPod) -> str:
    return pod.metadata.labels.get(labels.CREATED_BY, "")


def _owner(pod: LauncherPod) -> Key:
    return pod.metadata.namespace, pod.metadata.annotations.get(labels.DOMAIN, "")
