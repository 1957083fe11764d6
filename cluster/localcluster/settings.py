"""Paths, addresses and names of the cluster, used by all other modules. No side effects.

The environment may set LOCAL_CLUSTER_STATE (state folder) and XDG_CACHE_HOME (cache folder's parent).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]
DEFAULT_STATE = Path("/var/lib/kubevirt-local-cluster")
KUBERNETES_VERSION = "v1.34.4"

BRIDGE = "br-k8s"
HOST_ADDRESS = "172.30.0.1"  # API server, registry and DNS listen here, so that the nodes reach them
NODE_NETWORK = "172.30.0.0/24"
POD_NETWORK = "10.244.0.0/16"
SERVICE_NETWORK = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"  # the first address of the service network, taken by the `kubernetes` service
API_PORT = 6443
CLUSTER_DOMAIN = "cluster.local"
PAUSE_IMAGE = "localhost/pause:1"
CGROUP = "kubevirt-local-cluster"
NFT_TABLE = "kubevirt-local-cluster"
DEFAULT_NODES = 2
MOST_NODES = 9  # a node's number is one digit of its addresses


class BadSetting(Exception):
    """A value from the user is invalid: the command shows the message and exits."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node. Its name and addresses follow from its number, which starts at 1."""

    number: int

    @property
    def name(self) -> str:
        return f"node{self.number}"

    @property
    def address(self) -> str:
        return f"172.30.0.1{self.number}"

    @property
    def pod_network(self) -> str:
        return f"10.244.{self.number}.0/24"

    @property
    def link(self) -> str:
        """The host's end of the node's veth pair."""
        return f"k8s-{self.name}"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A local cluster on this machine: its folders and nodes."""

    state: Path
    cache: Path
    nodes: tuple[Node, ...]

    @classmethod
    def load(cls, nodes: int | None = None) -> Cluster:
        """The cluster recorded in the state folder, or a new one.

        nodes: the number of nodes; None means the recorded number, or else DEFAULT_NODES.
        Raises BadSetting if the number is out of range or less than that of the running cluster.
        """
        state = Path(os.environ.get("LOCAL_CLUSTER_STATE", DEFAULT_STATE)).absolute()
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubevirt-local-cluster"
        recorded = state / "nodes.json"
        there = int(json.loads(recorded.read_text())) if recorded.exists() else None
        wanted = nodes if nodes is not None else there or DEFAULT_NODES
        if not 1 <= wanted <= MOST_NODES:
            raise BadSetting(f"nodes: {wanted} is not allowed, give 1 to {MOST_NODES}")
        if there is not None and wanted < there:
            raise BadSetting(f"nodes: {wanted} is less than the {there} that the cluster has, run `down` first")
        return cls(state, cache, tuple(Node(number) for number in range(1, wanted + 1)))

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, self-contained."""
        return PROJECT_ROOT / "build" / "cluster" / "kubeconfig"

    @property
    def bin(self) -> Path:
        """Contains a link `kubectl` if PATH has none."""
        return PROJECT_ROOT / "build" / "cluster" / "bin"

    @property
    def registry(self) -> str:
        """host:port of the local registry, plain HTTP."""
        return f"{HOST_ADDRESS}:5000"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log, a JSON object per completed request."""
        return self.state / "log" / "audit.json"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def node_names(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.nodes)

    def node(self, number: int) -> Node:
        """Raises BadSetting when the cluster has no such node."""
        if number not in range(1, len(self.nodes) + 1):
            raise BadSetting(f"node: {number} is not in the cluster, it has 1 to {len(self.nodes)}")
        return self.nodes[number - 1]

    def node_folder(self, node: Node) -> Path:
        return self.state / node.name

    def log(self, part: str) -> Path:
        return self.state / "log" / f"{part}.log"

    def pid_file(self, part: str) -> Path:
        return self.state / "run" / f"{part}.pid"
