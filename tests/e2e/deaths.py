"""A process of the suite, the API server or a node of the local cluster dies, and is back. For tests of faults."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from localcluster import control_plane, kube_binary, node, processes, waiting
from localcluster.settings import Cluster

from tests.e2e.cluster import NAMESPACE, get, until, wait
from tests.e2e.killing import COMPONENTS, victims

SUITE, API_SERVER, NODE = "all of the suite", "API server", "node2"
VICTIMS = (*COMPONENTS, SUITE, API_SERVER, NODE)
_REPLICAS = 2  # of each component
_AWAY = 10.0  # seconds without API server or node


@contextmanager
def dead_node2() -> Iterator[None]:
    """Killed with all that runs on it; started again afterwards."""
    cluster = Cluster.load()
    node.kill(cluster, cluster.node(2))
    try:
        yield
    finally:
        node.start(cluster, cluster.node(2), kube_binary.ensure(cluster))


@contextmanager
def dead_api_server() -> Iterator[None]:
    """Killed; started again afterwards, and up."""
    cluster = Cluster.load()
    server = processes.alive(cluster, "kube-apiserver")
    assert server is not None
    processes.kill([server])
    try:
        yield
    finally:
        control_plane.start_if_dead(cluster, kube_binary.ensure(cluster), "kube-apiserver")
        waiting.until("the API server", lambda: control_plane.is_up(cluster), 90, cluster.log("kube-apiserver"))


def staying(machine: dict[str, Any]) -> dict[str, Any]:
    """A VirtualMachineInstance's manifest whose pod Kubernetes leaves on its node. The local cluster evicts after five
    seconds what is on a node that has not reported for a while, as all nodes when the API server is back."""
    machine["spec"]["tolerations"] = [{"operator": "Exists", "effect": "NoExecute"}]
    return machine


def strike(victim: str) -> None:
    """One of VICTIMS dies; returns when the cause is over."""
    over = threading.Event()
    if victim == API_SERVER:
        with dead_api_server():
            over.wait(_AWAY)
    elif victim == NODE:
        with dead_node2():
            over.wait(_AWAY)
    else:
        for name in COMPONENTS if victim == SUITE else (victim,):
            for process in victims(name, []):
                process.kill()


def lose(victim: str) -> None:
    """One of VICTIMS dies; returns when another is there. Only then is it certain that the kubelet knows."""
    names = COMPONENTS if victim == SUITE else (victim,) if victim in COMPONENTS else ()
    old = {name: {process.pid for process in victims(name, [])} for name in names}
    strike(victim)
    for name, pids in old.items():
        until(lambda: _is_back(name, pids), f"another {name}", 300, every=1)  # noqa: B023


def _is_back(name: str, old: set[int]) -> bool:
    """Also if replicas have come or gone meanwhile."""
    now = {process.pid for process in victims(name, [])}
    return not now & old and len(now) >= _REPLICAS


def tolerant(condition: Callable[[], bool]) -> Callable[[], bool]:
    """The same, and not met while the API server does not answer."""

    def met() -> bool:
        try:
            return condition()
        except (AssertionError, OSError):
            return False

    return met


def whole() -> None:
    """Every replica is there again, on every node."""
    wait("node", NODE, "condition=Ready", seconds=120)
    wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE, seconds=300)
    for workload in ("deployment/virt-api", "deployment/virt-controller", "deployment/virt-operator"):
        until(tolerant(lambda: _is_complete(workload)), f"every replica of {workload}", 300, every=1)  # noqa: B023
    handlers = "daemonset/virt-handler"
    until(tolerant(lambda: get("-n", NAMESPACE, handlers)["status"].get("numberReady") == 2), handlers, 300, every=1)


def _is_complete(workload: str) -> bool:
    body = get("-n", NAMESPACE, workload)
    return bool(body["status"].get("readyReplicas") == body["spec"]["replicas"])
