"""A cluster with one VirtualMachineInstanceReplicaSet, in which everybody but its controller is played by a test.

The reconciler is new at each pass, as if the process died after each.
"""

from __future__ import annotations

from typing import Any

from virt_controller.caches import Caches
from virt_controller.replica_set.reconcile import ReplicaSetReconciler
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import EVENTS, VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS, VIRTUAL_MACHINE_INSTANCES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place

from tests.unit.controller.passes import Passes
from tests.unit.controller.replica_sets import LABELS, TEMPLATE

KEY = ("ns", "web")
LONG_AGO = "2026-01-01T00:00:00Z"
FINAL = ("Succeeded", "Failed")
_NEVER = "2100-01-01T00:00:00Z"  # until `time_passes`
_HELD = "kubevirt.io/foregroundDeleteVirtualMachine"
_SET = Place.parse(VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS.path(*KEY))
_VMIS = VIRTUAL_MACHINE_INSTANCES.path("ns")


class ReplicaSetWorld(Passes):
    """Its state, its actors, and passes of the controller."""

    def __init__(self, server: FakeApiServer, replicas: int = 0, **spec: Any) -> None:
        super().__init__(server, KEY, reconciler, most=12)
        self.server = server
        self._store = server.store
        body = {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": TEMPLATE, **spec}
        server.put(
            VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS.path("ns"),
            {"metadata": {"name": "web", "uid": "set-uid"}, "spec": body},
        )

    @property
    def replica_set(self) -> Any:
        """The object, None once it is gone."""
        found = self._store.select(Place.parse(VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS.path("ns")), lambda _: True)
        return found[0] if found else None

    @property
    def status(self) -> Any:
        """Its status."""
        return self.replica_set.get("status", {})

    @property
    def wanted(self) -> int:
        """How many replicas the user wants."""
        return int(self.replica_set["spec"]["replicas"])

    @property
    def vmis(self) -> dict[str, Any]:
        """All VirtualMachineInstances by name."""
        return {body["metadata"]["name"]: body for body in self._store.select(Place.parse(_VMIS), lambda _: True)}

    @property
    def owned(self) -> dict[str, Any]:
        """Those that the set controls and nobody has deleted."""
        uid = self.replica_set["metadata"]["uid"] if self.replica_set is not None else ""
        return {
            name: body
            for name, body in self.vmis.items()
            if any(owner["uid"] == uid for owner in body["metadata"].get("ownerReferences", []))
            and not body["metadata"].get("deletionTimestamp")
        }

    @property
    def active(self) -> dict[str, Any]:
        """Of those, the ones whose guests have not ended."""
        return {name: body for name, body in self.owned.items() if phase_of(body) not in FINAL}

    @property
    def events(self) -> list[str]:
        """Reasons of all events."""
        return [body["reason"] for body in self._store.select(Place.parse(EVENTS.path("ns")), lambda _: True)]

    def condition(self, kind: str) -> Any:
        """A condition of the set; empty: there is none."""
        return next((condition for condition in self.status.get("conditions", []) if condition["type"] == kind), {})

    def scale(self, replicas: int) -> None:
        """A user, or an autoscaler."""
        self._store.merge_patch(_SET, {"spec": {"replicas": replicas}})

    def pause(self, paused: bool) -> None:
        """A user."""
        self._store.merge_patch(_SET, {"spec": {"paused": paused}})

    def delete(self) -> None:
        """A user; the garbage collector is away."""
        self._store.delete(_SET)

    def report(self, name: str, phase: str) -> None:
        """The controller of VirtualMachineInstances, or a handler."""
        ready = {"type": "Ready", "status": str(phase == "Running")}
        moments = [*self.vmis[name].get("status", {}).get("phaseTransitionTimestamps", [])]
        moments.append({"phase": phase, "phaseTransitionTimestamp": _NEVER})
        status = {"phase": phase, "conditions": [ready], "phaseTransitionTimestamps": moments}
        self._store.merge_patch(_place(name), {"metadata": {"finalizers": [_HELD]}, "status": status})

    def age(self) -> None:
        """All VirtualMachineInstances are of the same age, so that a run is the same in any second."""
        for name, body in self.vmis.items():
            if body["metadata"]["creationTimestamp"] != LONG_AGO:
                self._store.merge_patch(_place(name), {"metadata": {"creationTimestamp": LONG_AGO}})

    def time_passes(self) -> None:
        """For those that wait for their replacement."""
        for name, body in self.owned.items():
            if phase_of(body) in FINAL:
                moments = [{"phase": phase_of(body), "phaseTransitionTimestamp": LONG_AGO}]
                self._store.merge_patch(_place(name), {"status": {"phaseTransitionTimestamps": moments}})

    def terminate_pod(self, name: str) -> None:
        """The controller of VirtualMachineInstances, during a drain."""
        ready = {"type": "Ready", "status": "False", "reason": "PodTerminating"}
        self._store.merge_patch(_place(name), {"status": {"conditions": [ready]}})

    def delete_vmi(self, name: str) -> None:
        """A user."""
        self._store.delete(_place(name))

    def finish_deletion(self, name: str) -> None:
        """The controller of VirtualMachineInstances."""
        self._store.remove(_place(name))

    def label(self, name: str, app: str) -> None:
        """A user."""
        self._store.merge_patch(_place(name), {"metadata": {"labels": {"app": app}}})

    def add_orphan(self, name: str, app: str = "web") -> None:
        """A user creates a VirtualMachineInstance of their own."""
        self.server.put(_VMIS, {"metadata": {"name": name, "labels": {"app": app}}, "spec": TEMPLATE["spec"]})


def phase_of(body: Any) -> str:
    return str(body.get("status", {}).get("phase", ""))


def reconciler(client: KubeClient, caches: Caches) -> ReplicaSetReconciler:
    """One that remembers nothing."""
    return ReplicaSetReconciler(client, caches, EventRecorder(client, "test", "test"))


def _place(name: str) -> Place:
    return Place.parse(VIRTUAL_MACHINE_INSTANCES.path("ns", name))
