"""Objects of a suite of two nodes as the API server returns them, and the same observed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from virt_admin.suite.objects import Guest, LeaseObject, Node, Pod, Workload
from virt_admin.suite.observed import Observed
from virt_core.kube import resource
from virt_core.objects.kubevirt import KubeVirt
from virt_core.objects.meta import rfc3339
from virt_core.testing.api_server import FakeApiServer

T = TypeVar("T")
Body = dict[str, Any]
NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
NODES = ("node1", "node2")
NEW, OLD = "hash-new", "hash-old"


def ago(**period: float) -> str:
    return rfc3339(NOW - timedelta(**period))


def condition(kind: str, status: str, reason: str = "", message: str = "", **period: float) -> Body:
    found = {"type": kind, "status": status, "reason": reason, "message": message}
    return {**found, "lastTransitionTime": ago(**period)} if period else found


def kubevirt(available: str = "True", **status: Any) -> Body:
    conditions = [condition("Available", available, "AllComponentsReady", "all components are ready", hours=1)]
    base = {
        "phase": "Deployed",
        "observedKubeVirtVersion": "v1",
        "targetKubeVirtVersion": "v1",
        "observedGeneration": 1,
    }
    meta = {"name": "kubevirt", "namespace": "kubevirt", "generation": 1, "creationTimestamp": ago(days=1)}
    return {"metadata": meta, "status": {**base, "conditions": conditions, **status}}


def pod(component: str, name: str, node: str = "node1", template: str = NEW, ready: bool = True, **status: Any) -> Body:
    meta = {
        "name": name,
        "namespace": "kubevirt",
        "labels": {"kubevirt.io": component},
        "annotations": {"kubevirt.io/template-hash": template},
    }
    spec = {"nodeName": node, "containers": [{"name": component, "image": f"registry:5000/{component}:v1"}]}
    return {"metadata": meta, "spec": spec, "status": {"conditions": [condition("Ready", str(ready))], **status}}


def workload(name: str) -> Body:
    meta = {"name": name, "namespace": "kubevirt", "labels": {"kubevirt.io": name}}
    spec = {"replicas": 1, "template": {"metadata": {"annotations": {"kubevirt.io/template-hash": NEW}}}}
    return {"metadata": meta, "spec": spec, "status": {"desiredNumberScheduled": len(NODES)}}


def lease(component: str, holder: str = "", renewed: datetime = NOW) -> Body:
    times = {"holderIdentity": holder or f"{component}-0", "renewTime": rfc3339(renewed)}
    return {"metadata": {"name": component, "namespace": "kubevirt"}, "spec": times}


def node(name: str, *conditions: Body, labels: dict[str, str] | None = None, kvm: int = 1000, **spec: Any) -> Body:
    meta = {"name": name, "labels": {"kubevirt.io/schedulable": "true"} if labels is None else labels}
    status = {"conditions": list(conditions) or [condition("Ready", "True")]}
    return {"metadata": meta, "spec": spec, "status": {**status, "allocatable": {"devices.kubevirt.io/kvm": str(kvm)}}}


def guest(name: str, phase: str = "Running", node: str = "node1", *conditions: Body, **more: Any) -> Body:
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": more.pop("labels", {})}
    status = {"phase": phase, "nodeName": node, "conditions": list(conditions), **more}
    return {"metadata": {**meta, "creationTimestamp": ago(minutes=5)}, "status": status}


def components(now: datetime = NOW) -> dict[str, list[Body]]:
    """A suite in which all is well, by the field of Observed."""
    names = ("virt-operator", "virt-api", "virt-controller")
    pods = [*(pod(name, f"{name}-0") for name in names), *(pod("virt-handler", f"virt-handler-{n}", n) for n in NODES)]
    return {
        "pods": pods,
        "workloads": [workload(name) for name in (*names, "virt-handler")],
        "nodes": [node(name) for name in NODES],
        "guests": [guest("a"), guest("b", node="node2")],
        "leases": [lease("virt-operator", renewed=now), lease("virt-controller", renewed=now)],
    }


_KINDS: dict[str, Any] = {"pods": Pod, "workloads": Workload, "nodes": Node, "guests": Guest, "leases": LeaseObject}


def decoded(body: Body, kind: type[T]) -> T:
    return msgspec.json.decode(msgspec.json.encode(body), type=kind)


def observed(
    suite: Body | None = None, trouble: str = "", unreadable: tuple[str, ...] = (), **changed: list[Body]
) -> Observed:
    """The suite with these collections replaced."""
    found: dict[str, Any] = {
        field: tuple(decoded(body, _KINDS[field]) for body in bodies)
        for field, bodies in {**components(), **changed}.items()
    }
    kept = decoded(suite if suite is not None else kubevirt(), KubeVirt)
    return Observed(now=NOW, namespace="kubevirt", kubevirt=kept, trouble=trouble, unreadable=unreadable, **found)


def install(server: FakeApiServer, now: datetime) -> None:
    """Put the suite into the API server."""
    found = components(now)
    server.put(resource.KUBEVIRTS.path("kubevirt"), kubevirt())
    for body in found["pods"]:
        server.put(resource.PODS.path("kubevirt"), body)
    for body in found["workloads"]:
        of_nodes = body["metadata"]["name"] == "virt-handler"
        server.put((resource.DAEMON_SETS if of_nodes else resource.DEPLOYMENTS).path("kubevirt"), body)
    for body in found["leases"]:
        server.put(resource.LEASES.path("kubevirt"), body)
    for body in found["nodes"]:
        server.put(resource.NODES.path(), body)
    for body in found["guests"]:
        server.put(resource.VIRTUAL_MACHINE_INSTANCES.path("default"), body)
