"""`up` and `status`: bring every part of the cluster to work, leaving alone what works. The order of things is here."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from localcluster import (
    api_client,
    control_plane,
    dns,
    host_network,
    host_packages,
    kube_binary,
    node,
    pause,
    pki,
    processes,
    registry,
    waiting,
)
from localcluster.progress import PartFailed, say, step
from localcluster.settings import Cluster, Node

NODE_READY_SECONDS = 90
LEASE_SECONDS = 8


def checks(cluster: Cluster) -> list[Callable[[], bool]]:
    """Whether each part of the cluster works now, the quickest to fail first."""
    return [
        host_network.is_up,
        lambda: registry.is_up(cluster),
        lambda: control_plane.is_up(cluster),
        lambda: nodes_ready(cluster, time.time() - LEASE_SECONDS),
        lambda: dns.is_up(cluster),
    ]


def nodes_ready(cluster: Cluster, renewed_after: float) -> bool:
    """Whether all nodes are alive and have renewed their lease since `renewed_after` (seconds since the epoch)."""
    if any(node.pid(cluster, member) is None for member in cluster.nodes):
        return False
    return set(cluster.node_names) <= api_client.nodes_with_fresh_lease(cluster, renewed_after)


def up(cluster: Cluster) -> None:
    """Bring the cluster up. Raises PartFailed with the part that failed."""
    if os.geteuid() != 0:
        raise PartFailed("up", "needs root, for namespaces, mounts and packages")
    recorded = cluster.state / "nodes.json"
    complete = recorded.exists() and json.loads(recorded.read_text()) == len(cluster.nodes)
    if complete and cluster.kubeconfig.exists() and all(check() for check in checks(cluster)):
        say(f"the cluster is up, {len(cluster.nodes)} nodes: export KUBECONFIG={cluster.kubeconfig}")
        return
    host_packages.ensure(cluster)
    kube = kube_binary.ensure(cluster)
    kubectl = kube_binary.ensure_kubectl(cluster, kube)
    pause.ensure(cluster)
    with step("bringing the cluster up", "up"):
        start(cluster, kube)
    say(f"export KUBECONFIG={cluster.kubeconfig}  # kubectl is {kubectl}, the registry {cluster.registry}")


def start(cluster: Cluster, kube: Path) -> None:
    """Start dead parts, in an order that avoids unnecessary waits."""
    for folder in ("log", "run", "etcd"):
        (cluster.state / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    (cluster.state / "nodes.json").write_text(json.dumps(len(cluster.nodes)))
    began = time.time()
    end_strays(cluster)
    pki.ensure(cluster)
    host_network.ensure(cluster)
    registry.start(cluster)
    control_plane.start_store(cluster, kube)
    for member in cluster.nodes:
        node.start(cluster, member, kube)
    control_plane.finish(cluster, kube)
    dns.start(cluster, kube)
    registry.wait(cluster)
    dns.wait(cluster)
    for member in cluster.nodes:
        wait_for_node(cluster, member, began)


def wait_for_node(cluster: Cluster, member: Node, began: float) -> None:
    """Wait until the node is Ready with a lease that was renewed after `began` (seconds since the epoch)."""

    def is_ready() -> bool:
        return member.name in api_client.nodes_with_fresh_lease(cluster, began)

    log = cluster.log(f"{member.name}-kubelet")
    try:
        waiting.until(member.name, is_ready, NODE_READY_SECONDS, log, lambda: node.pid(cluster, member))
    except PartFailed as failure:
        if node.pid(cluster, member) is None:
            raise PartFailed(member.name, "died while it started", cluster.log(member.name)) from failure
        raise


def parts(cluster: Cluster) -> tuple[str, ...]:
    """The parts that `up` starts; all other processes descend from them."""
    return (*control_plane.PARTS, registry.PART, dns.PART, *cluster.node_names)


def end_strays(cluster: Cluster) -> None:
    """Kill the cluster's processes that belong to no living part: after a crash they may occupy ports and sockets."""
    living = {found.pid for part in parts(cluster) if (found := processes.alive(cluster, part))}
    strays = [process for process in processes.marked(cluster) if not descends_from(process.pid, living)]
    if strays:
        say(f"killing {len(strays)} stray processes")
        processes.kill(strays)


def descends_from(pid: int, living: set[int]) -> bool:
    """Whether the process or one of its ancestors is among the living parts."""
    while pid > 1:
        if pid in living:
            return True
        try:
            pid = processes.parent((processes.PROC / str(pid) / "stat").read_text())
        except OSError:
            return False
    return False


def status(cluster: Cluster) -> bool:
    """Print a line per part. Returns whether all parts work."""
    ready = api_client.is_ready(cluster)
    fresh = api_client.nodes_with_fresh_lease(cluster, time.time() - LEASE_SECONDS) if ready else set()
    lines = {"network": host_network.is_up(), "registry": registry.is_up(cluster)}
    for part in control_plane.PARTS:
        lines[part] = processes.alive(cluster, part) is not None
    lines["API ready"] = ready
    lines["coredns"] = dns.is_up(cluster)
    for member in cluster.nodes:
        lines[member.name] = node.pid(cluster, member) is not None and member.name in fresh
    for part, works in lines.items():
        found = processes.alive(cluster, part)
        say(f"{part:24} {'up' if works else 'down':5} {f'pid {found.pid}' if found else ''}".rstrip())
    return all(lines.values())
