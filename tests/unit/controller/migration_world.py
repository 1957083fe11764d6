"""A cluster with a running VirtualMachineInstance on node1 that migrates to node2. Tests play everybody but the
controllers of migrations and of VirtualMachineInstances, whose reconcilers are new at each pass. They remember only
what they have seen of copies.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from virt_controller.caches import Caches
from virt_controller.migration.copies import Copies
from virt_controller.migration.plan import Planner
from virt_controller.migration.reconcile import MigrationReconciler
from virt_controller.node.reconcile import Nodes
from virt_controller.pod.containers import LauncherSettings
from virt_controller.sightings import Sightings
from virt_controller.vmi.plan import Planner as VmiPlanner
from virt_controller.vmi.reconcile import VmiReconciler
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.reflector import Key
from virt_core.kube.resource import (
    EVENTS,
    KUBEVIRTS,
    NAMESPACES,
    NODES,
    PODS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
)
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused

from tests.unit.controller.passes import Passes

VMI, JOB = ("ns", "web"), ("ns", "move")
LAUNCHER = LauncherSettings("registry.test/virt-launcher:2", "IfNotPresent")
SPEC = {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}}
_OWNER = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance"}


class MigrationWorld:
    """Its state, its actors, and passes of both controllers."""

    def __init__(self, server: FakeApiServer, migrations: dict[str, Any] | None = None, **annotations: str) -> None:
        self.server = server
        self.looks = count()
        self.over_seconds = 60.0
        """For so long the controller of guests has seen, at each look, that the last migration is over."""

        self.seconds = 0.0
        """The time that has passed, by the clock of the controller that leads."""

        self.new_leader()
        self._jobs = Passes(server, JOB, self._migrations, most=8)
        self._vmis = Passes(server, VMI, self._guests, most=8)
        configuration: dict[str, Any] = {"developerConfiguration": {"useEmulation": True}}
        if migrations is not None:
            configuration["migrations"] = migrations
        server.patch(KUBEVIRTS.path("kubevirt", "kubevirt"), {"spec": {"configuration": configuration}})
        server.put(NAMESPACES.path(), {"metadata": {"name": "ns"}})
        for node in ("node1", "node2"):
            ready = {"type": "Ready", "status": "True"}
            server.put(NODES.path(), {"metadata": {"name": node}, "status": {"conditions": [ready]}})
        self.add_vmi()
        self.add_job(annotations=annotations)

    def add_vmi(self, name: str = "web", pod: str = "source", **status: Any) -> None:
        """A guest that runs on node1."""
        uid = "vmi-uid" if name == "web" else f"{name}-uid"
        labels = {"kubevirt.io/nodeName": "node1"}
        finalizers = ["kubevirt.io/foregroundDeleteVirtualMachine"]
        conditions = [{"type": "Ready", "status": "True"}, {"type": "LiveMigratable", "status": "True"}]
        running = {"phase": "Running", "nodeName": "node1", "activePods": {pod: "node1"}, "conditions": conditions}
        meta = {"name": name, "uid": uid, "labels": labels, "finalizers": finalizers}
        self.server.put(
            VIRTUAL_MACHINE_INSTANCES.path("ns"), {"metadata": meta, "spec": SPEC, "status": {**running, **status}}
        )
        pod_labels = {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": uid}
        pod_meta = {
            "name": pod,
            "uid": pod,
            "labels": pod_labels,
            "annotations": {"kubevirt.io/domain": name},
            "ownerReferences": [{**_OWNER, "name": name, "uid": uid, "controller": True}],
        }
        self.server.put(PODS.path("ns"), {"metadata": pod_meta, "spec": {"nodeName": "node1"}, "status": _running()})

    def add_job(
        self,
        name: str = "move",
        annotations: dict[str, str] | None = None,
        vmi: str = "web",
        priority: str = "",
        **status: Any,
    ) -> None:
        """A request to migrate the guest, as admission lets it pass."""
        meta: dict[str, Any] = {"name": name, "uid": f"{name}-uid", "finalizers": ["kubevirt.io/migrationJobFinalize"]}
        meta["labels"] = {"kubevirt.io/vmi-name": vmi}
        if annotations:
            meta["annotations"] = annotations
        body = {"metadata": meta, "spec": {"vmiName": vmi, "priority": priority}, "status": status}
        self.server.put(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns"), body)

    def new_leader(self) -> None:
        """The next passes are of a process that has seen nothing yet."""
        self._copies = Copies(lambda: self.seconds)

    def _migrations(self, client: KubeClient, caches: Caches) -> MigrationReconciler:
        events = EventRecorder(client, "test", "test")
        return MigrationReconciler(client, caches, Planner(LAUNCHER), events, self._copies)

    def _guests(self, client: KubeClient, caches: Caches) -> VmiReconciler:
        nodes, events = Nodes(client, caches.nodes), EventRecorder(client, "test", "test")
        over: Sightings[Key] = Sightings(lambda: next(self.looks) * self.over_seconds)
        return VmiReconciler(client, caches, nodes, VmiPlanner(LAUNCHER), events, migrations_over=over)

    async def settle(self, client: KubeClient) -> None:
        """Both controllers work until neither writes."""
        for _ in range(6):
            before = self.server.store.version
            for job in self.jobs:
                key = "ns", str(job["metadata"]["name"])
                await Passes(self.server, key, self._migrations, most=8).settle(client)
            if self.vmi is not None:
                await self._vmis.settle(client)
            if self.server.store.version == before:
                return
        raise AssertionError("the controllers do not come to rest")

    async def overtake(self, client: KubeClient, act: Callable[[], None]) -> None:
        """Somebody acts between what the controller of migrations has seen and what it writes; then the other one
        works on what it sees."""
        jobs = self.jobs
        key = ("ns", str(jobs[-1]["metadata"]["name"])) if jobs else JOB
        await Passes(self.server, key, self._migrations, most=8).overtake(client, act)
        await self._vmis.overtake(client, lambda: None)

    async def vmi_overtaken(self, client: KubeClient, act: Callable[[], None]) -> None:
        """Somebody acts between what the controller of guests has seen and what it writes."""
        await self._vmis.overtake(client, act)

    @property
    def jobs(self) -> list[Any]:
        """All migrations."""
        return self.server.store.select(Place.parse(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns")), lambda _: True)

    @property
    def job(self) -> Any:
        """The migration; None: it is gone."""
        return self._get(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path(*JOB))

    @property
    def vmi(self) -> Any:
        """The VirtualMachineInstance."""
        return self._get(VIRTUAL_MACHINE_INSTANCES.path(*VMI))

    @property
    def state(self) -> Any:
        """Its migrationState."""
        return self.vmi["status"].get("migrationState")

    @property
    def pods(self) -> dict[str, Any]:
        """By name."""
        found = self.server.store.select(Place.parse(PODS.path("ns")), lambda _: True)
        return {pod["metadata"]["name"]: pod for pod in found}

    @property
    def target(self) -> Any:
        """The target pod."""
        (found,) = [pod for name, pod in self.pods.items() if not name.endswith("source")]
        return found

    @property
    def phase(self) -> str:
        """Of the migration."""
        return str(self.job["status"].get("phase", ""))

    def condition(self, kind: str) -> Any:
        """A condition of the migration; empty: there is none."""
        found = self.job["status"].get("conditions", [])
        return next((condition for condition in found if condition["type"] == kind), {})

    @property
    def reasons(self) -> list[str]:
        """Of all events."""
        return [body["reason"] for body in self.server.store.select(Place.parse(EVENTS.path("ns")), lambda _: True)]

    def bind_target(self, **status: Any) -> None:
        """The scheduler."""
        name = self.target["metadata"]["name"]
        body = {"spec": {"nodeName": "node2"}, "status": {"phase": "Pending", "conditions": [], **status}}
        self.server.patch(PODS.path("ns", name), body)

    def run_target(self, started: str = "2026-01-01T00:00:00Z") -> None:
        """Scheduler and kubelet."""
        name, uid = self.target["metadata"]["name"], self.target["metadata"]["uid"]
        assert uid
        self.server.patch(PODS.path("ns", name), {"spec": {"nodeName": "node2"}, "status": _running(started)})

    def reject(self, pod: Any, created: str | None = None) -> str:
        """The kubelet of node2, whose device plugins are not registered yet; returns the pod's UID."""
        message = "Allocate failed due to no healthy devices present; cannot allocate devices.kubevirt.io/tun"
        status = {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": message}
        meta = pod["metadata"]
        moment = {"creationTimestamp": created} if created is not None else {}
        body = {"metadata": moment, "spec": {"nodeName": "node2"}, "status": status}
        self.server.patch(PODS.path("ns", meta["name"]), body)
        return str(meta["uid"])

    def remove_deleted_pods(self) -> None:
        """The kubelets."""
        for name, pod in self.pods.items():
            if "deletionTimestamp" in pod["metadata"]:
                self.server.remove(PODS.path("ns", name))

    def end_pod(self, name: str, phase: str = "Succeeded") -> None:
        """The kubelet."""
        self.server.patch(PODS.path("ns", name), {"status": {"phase": phase}})

    def report(self, **state: Any) -> None:
        """A handler."""
        self.server.patch(VIRTUAL_MACHINE_INSTANCES.path(*VMI), {"status": {"migrationState": state}})

    def prepare(self) -> None:
        """Both handlers, up to the copy."""
        self.report(sourceCertificateAuthority="PEM")
        self.report(targetCertificateAuthority="PEM", targetNodeAddress="10.0.0.2")
        self.report(startTimestamp="2026-01-01T00:00:00Z", mode="PreCopy")

    def arrive(self) -> None:
        """The target's handler."""
        moment = "2026-01-01T00:00:01Z"
        state = {"completed": True, "endTimestamp": moment, "targetNodeDomainReadyTimestamp": moment}
        status = {"nodeName": "node2", "migrationState": state}
        self.server.patch(VIRTUAL_MACHINE_INSTANCES.path(*VMI), {"status": status})

    def fail(self, reason: str) -> None:
        """The source's handler."""
        self.report(failed=True, completed=True, failureReason=reason, endTimestamp="2026-01-01T00:00:01Z")

    def _get(self, path: str) -> Any:
        try:
            return self.server.store.get(Place.parse(path))
        except Refused:
            return None


def _running(started: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    state = {"running": {"startedAt": started}}
    return {"phase": "Running", "conditions": [], "containerStatuses": [{"name": "compute", "state": state}]}


async def handed_off(server: FakeApiServer, client: KubeClient, **settings: Any) -> MigrationWorld:
    """A guest whose target pod runs: its handlers have to prepare the migration."""
    world = MigrationWorld(server, **settings)
    await world.settle(client)
    world.run_target()
    await world.settle(client)
    return world
