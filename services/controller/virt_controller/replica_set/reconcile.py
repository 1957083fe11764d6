"""Connects caches, plan and executor for VirtualMachineInstanceReplicaSets. Created and run by app.py.

Replica sets depend on VirtualMachineInstances, never the other way round. Everything is read from the caches.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

import msgspec
from virt_core import logs
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.reflector import Key
from virt_core.replica_set.replica_set import VirtualMachineInstanceReplicaSet
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.caches import Caches
from virt_controller.controller import Controller, Refusals
from virt_controller.failure import Failure
from virt_controller.replica_set.execute import Executor, ScaleRefused
from virt_controller.replica_set.instance import names
from virt_controller.replica_set.instances import Instances
from virt_controller.replica_set.observe import Observed
from virt_controller.replica_set.plan import missing, plan, report
from virt_controller.replica_set.status import FAILURE, stored_condition

_WORKERS = 5  # replica sets that are reconciled in parallel


class ReplicaSetReconciler:
    """Reconciles the VirtualMachineInstanceReplicaSets of the cluster."""

    def __init__(self, client: KubeClient, caches: Caches, events: EventRecorder) -> None:
        self._caches = caches
        self._controller = Controller("replica set", caches, workers=_WORKERS)
        self._executor = Executor(client, events, caches.replica_sets.wrote, caches.vmis.wrote)
        self._failures: Refusals[Failure] = Refusals()
        self._log = logs.bound("virt_controller.replica_set.reconcile")
        self._instances = Instances(caches.vmis, self._controller.enqueue, self._orphan_changed)
        caches.replica_sets.subscribe(self._controller.enqueue)

    async def work(self) -> None:
        """Reconcile until cancelled, starting when every cache is complete."""
        await self._controller.work(self.reconcile, lambda: [found.key for found in self._caches.replica_sets])

    async def reconcile(self, key: Key) -> float | None:
        """A pass: observe, plan, execute. Returns the seconds after which to reconcile again, or None."""
        replica_set = self._caches.replica_sets.get(key)
        if replica_set is None:
            self._failures.forget(key)
            return None
        observed = self._observe(replica_set)
        if observed is None:
            return None
        try:
            return await self._executor.execute(replica_set, plan(observed))
        except ScaleRefused as error:
            failure = Failure(error.reason, str(error), datetime.now(UTC))
            self._failures.remember(key, _version(replica_set), failure)
        after = self._observe(replica_set)  # some may have been created
        return await self._executor.execute(replica_set, report(after)) if after is not None else None

    def _observe(self, replica_set: VirtualMachineInstanceReplicaSet) -> Observed | None:
        try:
            spec = replica_set.spec
        except msgspec.ValidationError as error:
            self._log.error("ignoring a replica set that cannot be read", key=replica_set.key, reason=str(error))
            return None
        key, uid = replica_set.key, replica_set.metadata.uid
        orphans = self._instances.orphans(key[0])
        selected = tuple(vmi for vmi in orphans if spec.selector.matches(vmi.metadata.labels))
        observed = Observed(replica_set, spec, self._instances.of(key, uid), selected, datetime.now(UTC))
        observed = replace(observed, failure=self._waiting_failure(observed))
        free = (name for name in names(replica_set, spec) if self._caches.vmis.get((key[0], name)) is None)
        return replace(observed, names=tuple(islice(free, missing(observed))))

    def _waiting_failure(self, observed: Observed) -> Failure | None:
        """The last refusal, until the next attempt is due."""
        replica_set = observed.replica_set
        failure = self._failures.get(replica_set.key, _version(replica_set))
        if failure is None:
            return None
        if failure.seconds_to_retry(stored_condition(observed, FAILURE), observed.now) > 0:
            return failure
        self._failures.forget(replica_set.key)
        return None

    def _orphan_changed(self, vmi: VirtualMachineInstance) -> None:
        """Reconcile the replica sets that may adopt it."""
        for replica_set in self._caches.replica_sets_in.of(vmi.metadata.namespace):
            if _selects(replica_set, vmi):
                self._controller.enqueue(replica_set.key)


def _selects(replica_set: VirtualMachineInstanceReplicaSet, vmi: VirtualMachineInstance) -> bool:
    try:
        return replica_set.spec.selector.matches(vmi.metadata.labels)
    except msgspec.ValidationError:
        return False


def _version(replica_set: VirtualMachineInstanceReplicaSet) -> tuple[str, int]:
    return replica_set.metadata.uid, replica_set.metadata.generation
