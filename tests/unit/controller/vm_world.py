"""A cluster with one VirtualMachine, in which everybody but its controller is played by a test.

virt-controller's own part for VirtualMachineInstances is played too: only what it writes into the object matters here.
The reconciler is new at each pass, as if the process died after each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from virt_api.subresources.guest import Guest
from virt_api.subresources.lifecycle import instance_of
from virt_api.subresources.lifecycle_requests import VERBS, LifecycleOptions
from virt_controller.caches import Caches
from virt_controller.vm.reconcile import VmReconciler
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import (
    CONTROLLER_REVISIONS,
    EVENTS,
    KUBEVIRTS,
    VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES,
    VIRTUAL_MACHINE_CLUSTER_PREFERENCES,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    Resource,
)
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.vm.virtual_machine import VirtualMachine
from virt_core.vmi.status import NOT_RUNNING_YET

from tests.unit.controller.passes import Passes

KEY = ("ns", "guest")
LONG_AGO = "2026-01-01T00:00:00Z"
VMI_FINALIZER = "kubevirt.io/foregroundDeleteVirtualMachine"
UUID = "5d307ca9-b3ef-428c-8861-06e72d69f223"
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "guest"}},
    "spec": {"domain": {"devices": {}, "memory": {"guest": "64Mi"}, "firmware": {"uuid": UUID}}},
}
_VM = Place.parse(VIRTUAL_MACHINES.path(*KEY))
_VMI = Place.parse(VIRTUAL_MACHINE_INSTANCES.path(*KEY))


class VmWorld(Passes):
    """Its state, its actors, and passes of the controller."""

    def __init__(self, server: FakeApiServer, strategy: str = "Always", template: Mapping[str, Any] = TEMPLATE) -> None:
        super().__init__(server, KEY, _reconciler, most=12)
        self.server = server
        self._store = server.store
        spec = {"runStrategy": strategy, "template": template}
        server.put(VIRTUAL_MACHINES.path("ns"), {"metadata": {"name": "guest"}, "spec": spec})

    def _first(self, path: str) -> Any:
        found = self._store.select(Place.parse(path), lambda _: True)
        return found[0] if found else None

    @property
    def vm(self) -> Any:
        """The VirtualMachine, None once it is gone."""
        return self._first(VIRTUAL_MACHINES.path("ns"))

    @property
    def vmi(self) -> Any:
        """The VirtualMachineInstance, None while there is none."""
        return self._first(VIRTUAL_MACHINE_INSTANCES.path("ns"))

    @property
    def revisions(self) -> list[str]:
        """Names of the ControllerRevisions."""
        found = self._store.select(Place.parse(CONTROLLER_REVISIONS.path("ns")), lambda _: True)
        return [body["metadata"]["name"] for body in found]

    def revision(self, name: str) -> Any:
        """A ControllerRevision."""
        return self._store.get(Place.parse(CONTROLLER_REVISIONS.path("ns", name)))

    @property
    def events(self) -> list[str]:
        """Reasons of all events."""
        return [body["reason"] for body in self._store.select(Place.parse(EVENTS.path("ns")), lambda _: True)]

    @property
    def status(self) -> Any:
        """The VirtualMachine's status."""
        return self.vm.get("status", {})

    def condition(self, kind: str) -> Any:
        """A condition of it; empty: there is none."""
        return next((condition for condition in self.status.get("conditions", []) if condition["type"] == kind), {})

    @property
    def strategy(self) -> str:
        """Its run strategy."""
        return str(self.vm["spec"]["runStrategy"])

    def request(self, verb: str, **options: Any) -> None:
        """A user, through virt-api. Raises virt-api's Conflict."""
        vmi = self.vmi
        instance = instance_of(msgspec.convert(vmi, Guest) if vmi is not None else None)
        writes = VERBS[verb](VirtualMachine.of(self.vm), instance, LifecycleOptions(**options))
        for operations in (writes.status, writes.spec):
            if operations:
                self._store.json_patch(_VM, list(operations))

    def switch(self, strategy: str) -> None:
        """A user."""
        self._store.merge_patch(_VM, {"spec": {"runStrategy": strategy}})

    def choose(self, **matchers: str | None) -> None:
        """A user names an instance type or a preference of the cluster; None: none."""
        named = {role: {"name": name} if name else None for role, name in matchers.items()}
        self._store.merge_patch(_VM, {"spec": named})

    def size(self, name: str, cpus: int) -> None:
        """An administrator makes or changes an instance type of the cluster."""
        spec = {"cpu": {"guest": cpus}, "memory": {"guest": "64Mi"}}
        self._offer(VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES, name, spec)

    def prefer(self, name: str, **devices: Any) -> None:
        """An administrator makes or changes a preference of the cluster."""
        self._offer(VIRTUAL_MACHINE_CLUSTER_PREFERENCES, name, {"devices": devices})

    def _offer(self, resource: Resource, name: str, spec: Any) -> None:
        if any(body["metadata"]["name"] == name for body in self._store.select(_all(resource), lambda _: True)):
            self._store.merge_patch(Place.parse(resource.path(None, name)), {"spec": spec})
            return
        meta = {"name": name, "labels": {"a": "b"}, "annotations": {"c": "d"}}
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, "spec": spec}
        self.server.put(resource.path(), body)

    def withdraw(self, name: str) -> None:
        """An administrator deletes an instance type of the cluster."""
        self._store.remove(Place.parse(VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES.path(None, name)))

    def configure(self, reference_policy: str) -> None:
        """An administrator."""
        configuration = {"instancetype": {"referencePolicy": reference_policy}}
        place = Place.parse(KUBEVIRTS.path("kubevirt", "kubevirt"))
        self._store.merge_patch(place, {"spec": {"configuration": configuration}})

    def edit(self, memory: str) -> None:
        """A user."""
        self._store.merge_patch(_VM, {"spec": {"template": {"spec": {"domain": {"memory": {"guest": memory}}}}}})

    def report(self, phase: str, **status: Any) -> None:
        """The controller of VirtualMachineInstances, or a handler."""
        moments = [*self.vmi["status"].get("phaseTransitionTimestamps", []), {"phase": phase}]
        body = {"phase": phase, "phaseTransitionTimestamps": moments, **status}
        self._store.merge_patch(_VMI, {"status": body})
        if phase in ("Scheduling", "Running"):
            kept = sorted({*self.vmi["metadata"].get("finalizers", []), VMI_FINALIZER})
            self._store.merge_patch(_VMI, {"metadata": {"finalizers": kept}})

    def patch_vmi_status(self, status: Mapping[str, Any]) -> None:
        """The same, for any field."""
        self._store.merge_patch(_VMI, {"status": dict(status)})

    def finish_deletion(self) -> None:
        """The controller of VirtualMachineInstances: the pod of a deleted one is gone."""
        if self.vmi is None:
            return
        if self.vmi["status"].get("phase") == "Running":
            self.report("Succeeded")
        kept = [name for name in self.vmi["metadata"].get("finalizers", []) if name != VMI_FINALIZER]
        self._store.merge_patch(_VMI, {"metadata": {"finalizers": kept}})

    def delete_vmi(self) -> None:
        """A user."""
        self._store.delete(_VMI)

    def delete(self, *, orphan: bool = False) -> None:
        """A user."""
        if orphan:
            kept = [*self.vm["metadata"].get("finalizers", []), "orphan"]
            self._store.merge_patch(_VM, {"metadata": {"finalizers": kept}})
        self._store.delete(_VM)

    def hold(self) -> None:
        """A backup tool."""
        self._store.merge_patch(_VM, {"metadata": {"finalizers": ["backup.example/hold"]}})

    def orphan(self) -> None:
        """The garbage collector, before it takes its own finalizer off."""
        if self.vmi is not None:
            self._store.merge_patch(_VMI, {"metadata": {"ownerReferences": None}})
        kept = [name for name in self.vm["metadata"]["finalizers"] if name != "orphan"]
        self._store.merge_patch(_VM, {"metadata": {"finalizers": kept}})

    def backoff_is_over(self) -> None:
        """Time passes."""
        self._store.merge_patch(_VM, {"status": {"startFailure": {"retryAfterTimestamp": LONG_AGO}}})


def admit_as_virt_api_does(place: Place, body: Object) -> None:
    """A new VirtualMachineInstance has the condition Ready. For FakeApiServer.admit."""
    if place.plural == VIRTUAL_MACHINE_INSTANCES.plural:
        ready = {**msgspec.to_builtins(NOT_RUNNING_YET), "lastTransitionTime": LONG_AGO}
        body["status"] = {**body.get("status", {}), "phase": "Pending", "conditions": [ready]}


def _all(resource: Resource) -> Place:
    return Place.parse(resource.path())


def _reconciler(client: KubeClient, caches: Caches) -> VmReconciler:
    return VmReconciler(client, caches, EventRecorder(client, "test", "test"))
