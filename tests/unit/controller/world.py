"""A cluster with one VirtualMachineInstance, in which everybody but virt-controller is played by a test.

Scheduler, kubelet, handler, user and strangers write into the fake API server as the real ones would. The controller is
real, and new at each pass: it remembers nothing between two, as if it died after each.
"""

from __future__ import annotations

from typing import Any

from virt_controller.caches import Caches
from virt_controller.node.reconcile import Nodes
from virt_controller.pod.containers import LauncherSettings
from virt_controller.vmi.plan import Planner
from virt_controller.vmi.reconcile import VmiReconciler
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import KUBEVIRTS, NODES, PODS, VIRTUAL_MACHINE_INSTANCES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place

from tests.unit.controller.passes import Passes

PLANNER = Planner(LauncherSettings("registry.test/virt-launcher:1", "IfNotPresent"))
SPEC: dict[str, Any] = {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}}
KEY = ("ns", "guest")
LONG_AGO = "2026-01-01T00:00:00Z"
_VMI = Place.parse(VIRTUAL_MACHINE_INSTANCES.path(*KEY))
_PODS = Place.parse(PODS.path("ns"))
_READY = {"type": "Ready", "status": "True"}
_TERMINATED = {"exitCode": 0, "message": "GuestShutdown"}


class World(Passes):
    """Its state, its actors, and passes of the controller."""

    def __init__(self, server: FakeApiServer) -> None:
        super().__init__(server, KEY, _reconciler, most=10)
        self._store = server.store
        server.put(KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt"}, "spec": {}})
        for name in ("node1", "node2"):
            server.put(NODES.path(), _node(name))
        server.put(VIRTUAL_MACHINE_INSTANCES.path("ns"), {"metadata": {"name": "guest"}, "spec": SPEC})

    @property
    def vmi(self) -> Any:
        """The object, None once it is gone."""
        found = self._store.select(Place.parse(VIRTUAL_MACHINE_INSTANCES.path("ns")), lambda _: True)
        return found[0] if found else None

    @property
    def status(self) -> Any:
        """Its status."""
        return self.vmi.get("status", {})

    @property
    def last_status(self) -> Any:
        """As a watch shows it last of an object that is gone."""
        events = self._store.events(Place.parse(VIRTUAL_MACHINE_INSTANCES.path("ns")), 0, lambda _: True)
        return [event["object"].get("status", {}) for event in events if event["type"] != "BOOKMARK"][-1]

    @property
    def pods(self) -> list[Any]:
        """All launcher pods."""
        return self._store.select(_PODS, lambda _: True)

    def bind(self, pod: Any, node: str) -> None:
        """The scheduler."""
        self._patch(pod, {"spec": {"nodeName": node}})

    def cannot_schedule(self, pod: Any) -> None:
        """The scheduler."""
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}
        self._patch(pod, {"status": {"conditions": [condition]}})

    def run(self, pod: Any, ready: bool) -> None:
        """The kubelet."""
        state = {"name": "compute", "state": {"running": {"startedAt": LONG_AGO}}}
        conditions = [_READY] if ready else []
        self._patch(pod, {"status": {"phase": "Running", "conditions": conditions, "containerStatuses": [state]}})

    def cannot_pull(self, pod: Any) -> None:
        """The kubelet."""
        waiting = {"name": "compute", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "back-off"}}}
        self._patch(pod, {"status": {"containerStatuses": [waiting]}})

    def reject(self, pod: Any) -> None:
        """The kubelet, for example while its device plugins restart."""
        self._patch(pod, {"status": {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "no devices"}})

    def end(self, pod: Any, exit_code: int) -> None:
        """The kubelet."""
        state = {"name": "compute", "state": {"terminated": {**_TERMINATED, "exitCode": exit_code}}}
        phase = "Failed" if exit_code else "Succeeded"
        self._patch(pod, {"status": {"phase": phase, "containerStatuses": [state]}})

    def age(self, pod: Any) -> None:
        """Time passes."""
        self._patch(pod, {"metadata": {"creationTimestamp": LONG_AGO}})

    def evict(self, pod: Any) -> None:
        """A drain, or anybody with the right to delete pods."""
        self._store.delete(_place(pod))

    def remove(self, pod: Any) -> None:
        """The kubelet once a pod has ended, or ``kubectl delete --force``."""
        self._store.remove(_place(pod))

    def replace(self, pod: Any) -> str:
        """``kubectl replace --force``: the same pod with another UID, which is returned."""
        kept = {k: v for k, v in pod["metadata"].items() if k in ("name", "labels", "annotations", "ownerReferences")}
        self.remove(pod)
        return str(self._server.put(PODS.path("ns"), {**pod, "metadata": kept})["metadata"]["uid"])

    def occupy(self, pod: Any) -> str:
        """Another user creates a pod of that name; returns its UID."""
        self.remove(pod)
        made = {"metadata": {"name": pod["metadata"]["name"]}, "spec": {}}
        return str(self._server.put(PODS.path("ns"), made)["metadata"]["uid"])

    def report(self, phase: str) -> None:
        """The handler."""
        self._store.merge_patch(_VMI, {"status": {"phase": phase, "conditions": [_READY]}})

    def label(self, value: str) -> None:
        """The user."""
        self._store.merge_patch(_VMI, {"metadata": {"labels": {"user": value}}})

    def hold(self) -> None:
        """A backup tool."""
        self._store.merge_patch(_VMI, {"metadata": {"finalizers": [*self.finalizers, "backup.example/hold"]}})

    def release(self) -> None:
        """The backup tool."""
        kept = [name for name in self.finalizers if name != "backup.example/hold"]
        self._store.merge_patch(_VMI, {"metadata": {"finalizers": kept}})

    def delete(self) -> None:
        """The user."""
        self._store.delete(_VMI)

    @property
    def finalizers(self) -> list[str]:
        """Of the VMI."""
        return list(self.vmi["metadata"].get("finalizers", []))

    def fall_silent(self, node: str) -> None:
        """The node lifecycle controller."""
        condition = {"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting node status."}
        self._store.merge_patch(Place.parse(NODES.path(None, node)), {"status": {"conditions": [condition]}})

    def come_back(self, node: str) -> None:
        """The kubelet."""
        if not self._store.select(Place.parse(NODES.path()), lambda body: body["metadata"]["name"] == node):
            self._server.put(NODES.path(), _node(node))
        self._store.merge_patch(Place.parse(NODES.path(None, node)), {"status": {"conditions": [_READY]}})

    def take_away(self, node: str) -> None:
        """An administrator."""
        if self._store.select(Place.parse(NODES.path()), lambda body: body["metadata"]["name"] == node):
            self._store.remove(Place.parse(NODES.path(None, node)))

    def _patch(self, pod: Any, body: dict[str, Any]) -> None:
        self._store.merge_patch(_place(pod), body)


def _reconciler(client: KubeClient, caches: Caches) -> VmiReconciler:
    events = EventRecorder(client, "test", "test")
    return VmiReconciler(client, caches, Nodes(client, caches.nodes), PLANNER, events)


def _place(pod: Any) -> Place:
    return Place.parse(PODS.path("ns", pod["metadata"]["name"]))


def _node(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"conditions": [_READY]}}
