"""What the cluster and its nodes have now: objects, mounts, processes, rules, links, namespaces, files, cgroups.

Compared with an earlier moment by tests/support/snapshots.py, which says what a replaced pod has otherwise. Used by
test_soak.py. The nodes are those of the local cluster: processes of this machine, whose own links and rules no pod
reaches. What the nodes have is counted over all of them, because a Deployment's pod comes back on any.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from localcluster import cgroups
from localcluster.settings import CGROUP, Cluster, Node

from tests.e2e.cluster import NAMESPACE, get, in_node, kubectl
from tests.support.snapshots import Snapshot

_NOT_LOOKED_AT = (
    "events",  # an hour
    "certificatesigningrequests.certificates.k8s.io",  # Kubernetes deletes one an hour after it was signed
    "componentstatuses",
    ".metrics.k8s.io",
)
_NAMES = '{{range .items}}{{.kind}} {{.metadata.namespace}}/{{.metadata.name}}{{"\\n"}}{{end}}'
_OF_THE_MACHINE = ("/proc", "/sys", "/dev")
_RUN = "/run"  # sockets and folders of containerd, network namespaces
_OWN = ("ps", "nsenter")
"""Commands that a look itself starts in a node."""


def snapshot() -> Snapshot:
    """Everything, now. Raises AssertionError when a node or the API server does not answer."""
    cluster = Cluster.load()
    texts: dict[str, Iterable[str]] = {
        "objects": _objects(),
        "marks of nodes": _marks(),
    }
    folders = (_RUN, *_host_paths())
    for node in cluster.nodes:
        for kind, found in _of_node(cluster, node, folders).items():
            texts[kind] = [*texts.get(kind, ()), *found]
    return Snapshot.of(texts)


def _objects() -> Iterator[str]:
    kinds = kubectl("api-resources", "--verbs=list", "-o", "name").split()
    looked_at = [kind for kind in kinds if not any(word in kind for word in _NOT_LOOKED_AT)]
    yield from kubectl("get", ",".join(looked_at), "-A", "-o", f"go-template={_NAMES}").splitlines()


def _marks() -> Iterator[str]:
    """What a node says of itself by labels, annotations and devices."""
    for node in get("nodes")["items"]:
        meta, name = node["metadata"], node["metadata"]["name"]
        yield from (f"{name} label {key}" for key in meta.get("labels", {}))
        yield from (f"{name} annotation {key}" for key in meta.get("annotations", {}))
        yield from (f"{name} {resource} {number}" for resource, number in node["status"]["allocatable"].items())


def _host_paths() -> list[str]:
    """Folders of a node that the suite's pods write to."""
    spec = get("-n", NAMESPACE, "daemonset", "virt-handler")["spec"]["template"]["spec"]
    paths = [volume["hostPath"]["path"] for volume in spec["volumes"] if "hostPath" in volume]
    return [path for path in paths if not path.startswith(_OF_THE_MACHINE)]


def _of_node(cluster: Cluster, node: Node, folders: tuple[str, ...]) -> dict[str, Iterable[str]]:
    pid = int(cluster.pid_file(node.name).read_text().split()[0])
    return {
        "mounts": _mounts(f"/proc/{pid}"),
        "processes": _processes(node),
        "nft rules": in_node(node.number, "nft", "list", "ruleset").splitlines(),
        "links": _links(f"/proc/{pid}"),
        "network namespaces": in_node(node.number, "ls", "/run/netns").splitlines(),
        "files": _files(node, folders),
        "containers": in_node(node.number, "ctr", "-n", "k8s.io", "containers", "ls", "-q").splitlines(),
        "cgroups": _cgroups(node),
    }


def _mounts(proc: str) -> Iterator[str]:
    """Mount point and type."""
    for line in Path(proc, "mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        yield f"{left.split()[4]} {right.split()[0]}"


def _processes(node: Node) -> Iterator[str]:
    """Command lines; a process that has ended and that nobody has waited for is a zombie."""
    for line in in_node(node.number, "ps", "axww", "-o", "stat=,args=").splitlines():
        state, _, command = line.strip().partition(" ")
        words = command.split()
        if words and Path(words[0]).name not in _OWN:
            yield f"zombie {command.strip()}" if state.startswith("Z") else command.strip()


def _links(proc: str) -> Iterator[str]:
    """Names of network devices, of the network namespace of that process."""
    for line in Path(proc, "net/dev").read_text().splitlines()[2:]:
        yield line.partition(":")[0].strip()


def _files(node: Node, folders: tuple[str, ...]) -> Iterator[str]:
    """Type and path, of the folders' own file systems: what is mounted in them is among the mounts."""
    for folder in folders:
        # A file that goes while it looks is no error.
        yield from in_node(node.number, "sh", "-c", f"find {folder} -xdev -printf '%y %p\\n' || true").splitlines()


def _cgroups(node: Node) -> Iterator[str]:
    for tree in cgroups.trees():
        own = tree / CGROUP / node.name
        for folder, _, _ in os.walk(own):
            yield f"{tree.name}/{Path(folder).relative_to(own)}"
