"""Connects caches, plan and executor for guests that are to leave their nodes. Created and run by app.py.

Its key is a VirtualMachineInstance. A change of a node concerns all guests on it. Everything is read from the caches;
before a migration is created, the API server is asked whether the guest is still to leave.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from virt_core.conventions.conditions import EVACUATION_BLOCKED
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.reflector import Key
from virt_core.objects.meta import condition_of
from virt_core.objects.migration_configuration import DRAIN_TAINT
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.caches import Caches
from virt_controller.controller import Controller, Refusals
from virt_controller.evacuation.execute import Executor
from virt_controller.evacuation.observe import Observed
from virt_controller.evacuation.plan import may_concern, plan, report
from virt_controller.evacuation.status import FAILED_CREATE
from virt_controller.execution import Refused
from virt_controller.failure import Failure
from virt_controller.node.observe import Node

_WORKERS = 5  # guests in parallel; how many migrate is decided by the migration's controller


class EvacuationReconciler:
    """Evacuates guests."""

    def __init__(self, client: KubeClient, caches: Caches, events: EventRecorder) -> None:
        self._caches = caches
        self._controller = Controller("evacuation", caches, workers=_WORKERS)
        self._executor = Executor(client, events, caches.vmis.wrote, caches.migrations.wrote)
        self._failures: Refusals[Failure] = Refusals()
        self._followed = self._drain_taint
        caches.migrations_of_vmis.subscribe(self._changed)
        caches.vmis.subscribe(self._changed)
        caches.pods.subscribe(self._changed)
        caches.nodes.subscribe(self._node_changed)
        caches.configuration.subscribe(self._configuration_changed)

    async def work(self) -> None:
        """Reconcile until cancelled, starting when every cache is complete."""
        await self._controller.work(self.reconcile, lambda: [vmi.key for vmi in self._caches.vmis])

    async def reconcile(self, key: Key) -> float | None:
        """A pass: observe, plan, execute. Returns the seconds after which to reconcile again, or None."""
        vmi = self._caches.vmis.get(key)
        if vmi is None:
            self._failures.forget(key)
            return None
        observed = self._observe(vmi)
        try:
            return await self._executor.execute(vmi, plan(observed))
        except Refused as error:
            failure = Failure(FAILED_CREATE, str(error), datetime.now(UTC))
            self._failures.remember(key, _version(vmi), failure)
            return await self._executor.execute(vmi, report(replace(observed, failure=failure, now=failure.at)))

    def _observe(self, vmi: VirtualMachineInstance) -> Observed:
        observed = Observed(
            vmi,
            self._node(vmi),
            self._caches.pods.of(vmi),
            self._caches.migrations_of_vmis.of(vmi.key),
            self._drain_taint,
            datetime.now(UTC),
        )
        return replace(observed, failure=self._waiting_failure(observed))

    def _waiting_failure(self, observed: Observed) -> Failure | None:
        """The last refusal, until the next attempt is due."""
        vmi = observed.vmi
        failure = self._failures.get(vmi.key, _version(vmi))
        if failure is None:
            return None
        if failure.seconds_to_retry(condition_of(vmi.status.conditions, EVACUATION_BLOCKED), observed.now) > 0:
            return failure
        self._failures.forget(vmi.key)
        return None

    @property
    def _drain_taint(self) -> str:
        current = self._caches.configuration.current
        return (current.migrations.node_drain_taint_key if current is not None else None) or DRAIN_TAINT

    def _node(self, vmi: VirtualMachineInstance) -> Node | None:
        name = vmi.status.node_name
        return self._caches.nodes.get(("", name)) if name else None

    def _changed(self, key: Key) -> None:
        vmi = self._caches.vmis.get(key)
        if vmi is None or may_concern(vmi, self._node(vmi), self._drain_taint):
            self._controller.enqueue(key)

    def _node_changed(self, key: Key) -> None:
        for vmi in self._caches.vmis_on_nodes.of(key[1]):
            if key[1] in (vmi.status.node_name, vmi.status.evacuation_node_name):
                self._changed(vmi.key)

    def _configuration_changed(self) -> None:
        """Another taint means that a node is drained: any guest may have to leave. The rest of the object, the
        operator's status for example, does not matter."""
        before, self._followed = self._followed, self._drain_taint
        if before != self._followed:
            for vmi in self._caches.vmis:
                self._changed(vmi.key)


def _version(vmi: VirtualMachineInstance) -> tuple[str, str]:
    return vmi.metadata.uid, vmi.status.node_name
