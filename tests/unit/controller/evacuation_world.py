"""A cluster with one running VirtualMachineInstance on node1, in which everybody but the evacuation controller is
played by a test.

The reconciler is new at each pass, as if the process died after each.
"""

from __future__ import annotations

from typing import Any

from virt_controller.caches import Caches
from virt_controller.evacuation.reconcile import EvacuationReconciler
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import (
    EVENTS,
    NODES,
    PODS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
)
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place

from tests.unit.controller.passes import Passes

KEY = ("ns", "web")
_VMI = Place.parse(VIRTUAL_MACHINE_INSTANCES.path(*KEY))
_MIGRATIONS = VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns")
IN_PROGRESS = "descheduler.alpha.kubernetes.io/eviction-in-progress"


class EvacuationWorld(Passes):
    """Its state, its actors, and passes of the controller."""

    def __init__(self, server: FakeApiServer, strategy: str = "LiveMigrate", migratable: str = "True") -> None:
        super().__init__(server, KEY, reconciler, most=6)
        self.server = server
        for name in ("node1", "node2"):
            server.put(NODES.path(), {"metadata": {"name": name}})
        condition = {"type": "LiveMigratable", "status": migratable, "reason": "R", "message": "M"}
        status = {"phase": "Running", "nodeName": "node1", "activePods": {"pod-1": "node1"}, "conditions": [condition]}
        metadata = {"name": "web", "uid": "vmi-uid"}
        body = {"metadata": metadata, "spec": {"evictionStrategy": strategy}, "status": status}
        server.put(VIRTUAL_MACHINE_INSTANCES.path("ns"), body)
        self.add_pod("pod-1", "node1")

    def add_pod(self, name: str, node: str) -> None:
        """The controller of VirtualMachineInstances, and the kubelet."""
        owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": "web", "uid": "vmi-uid"}
        metadata = {
            "name": name,
            "uid": name,
            "labels": {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": "vmi-uid"},
            "annotations": {"kubevirt.io/domain": "web"},
            "ownerReferences": [{**owner, "controller": True}],
        }
        pod = {"metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": "Running"}}
        self.server.put(PODS.path("ns"), pod)

    def end_pod(self, name: str) -> None:
        """The kubelet."""
        self.server.patch(PODS.path("ns", name), {"status": {"phase": "Succeeded"}})

    @property
    def vmi(self) -> Any:
        """The object."""
        return self.server.store.get(_VMI)

    @property
    def migrations(self) -> list[Any]:
        """All migrations, the unfinished ones last."""
        return self.server.store.select(Place.parse(_MIGRATIONS), lambda _: True)

    @property
    def events(self) -> list[tuple[str, str]]:
        """Reasons and notes of all events."""
        found = self.server.store.select(Place.parse(EVENTS.path("ns")), lambda _: True)
        return [(body["reason"], body["note"]) for body in found]

    @property
    def marked(self) -> str:
        """The node that the guest is to leave."""
        return str(self.vmi["status"].get("evacuationNodeName", ""))

    def condition(self, kind: str) -> Any:
        """A condition; empty: there is none."""
        found = self.vmi["status"].get("conditions", [])
        return next((condition for condition in found if condition["type"] == kind), {})

    def pod_annotation(self, name: str = "pod-1") -> str | None:
        """What the descheduler reads."""
        pod = self.server.store.get(Place.parse(PODS.path("ns", name)))
        return pod["metadata"]["annotations"].get(IN_PROGRESS)  # type: ignore[no-any-return]

    def mark(self, **annotations: str) -> None:
        """virt-api, for an eviction."""
        body: Any = {"status": {"evacuationNodeName": self.vmi["status"]["nodeName"]}}
        self.patch(**body, **({"metadata": {"annotations": annotations}} if annotations else {}))

    def patch(self, **body: Any) -> None:
        """Whoever writes the VirtualMachineInstance."""
        self.server.patch(VIRTUAL_MACHINE_INSTANCES.path(*KEY), body)

    def cordon(self, unschedulable: bool = True, node: str = "node1") -> None:
        """``kubectl cordon``."""
        self.server.patch(NODES.path(None, node), {"spec": {"unschedulable": unschedulable}})

    def taint(self, *taints: Any) -> None:
        """An administrator who drains as KubeVirt once did."""
        self.server.patch(NODES.path(None, "node1"), {"spec": {"taints": list(taints)}})

    def end_migration(self, phase: str = "Failed", reason: str = "the network is cut") -> None:
        """The migration's controller, for the last one."""
        (unfinished,) = [body for body in self.migrations if not body.get("status", {}).get("phase")]
        name = unfinished["metadata"]["name"]
        status = {"phase": phase, "migrationState": {"failureReason": reason} if phase == "Failed" else {}}
        self.server.patch(f"{_MIGRATIONS}/{name}", {"status": status})

    def arrive(self) -> None:
        """The target's handler and the controllers at the end of a migration."""
        self.add_pod("pod-2", "node2")
        state = {"migrationUid": "m", "completed": True, "sourceNode": "node1"}
        status = {"nodeName": "node2", "activePods": {"pod-2": "node2", "pod-1": None}, "migrationState": state}
        self.patch(status={**status, "evacuationNodeName": None})
        self.end_pod("pod-1")
        self.end_migration("Succeeded")


def reconciler(client: KubeClient, caches: Caches) -> EvacuationReconciler:
    """One that remembers nothing."""
    return EvacuationReconciler(client, caches, EventRecorder(client, "test", "test"))
