"""A node or the API server of the local cluster dies, and is started again afterwards. For tests of faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from localcluster import control_plane, kube_binary, node, processes, waiting
from localcluster.settings import Cluster


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
