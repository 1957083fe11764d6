"""PersistentVolumeClaims for end-to-end tests. The cluster has no provisioner: the volumes are folders and loop devices
of its first node, created by hand.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from localcluster import node
from localcluster.settings import Cluster

from tests.e2e import cluster
from tests.e2e.cluster import apply, kubectl, wait

NODE = 1  # of the volumes
LAUNCHER = "107"  # the user to whom a provisioner would give a volume


def node_name() -> str:
    """As Kubernetes calls the node of the volumes."""
    return Cluster.load().node(NODE).name


def in_node(*argv: str) -> str:
    """Run a command in the node of the volumes."""
    return cluster.in_node(NODE, *argv)


@contextmanager
def shared_folder(name: str) -> Iterator[tuple[str, list[str]]]:
    """A folder that every node has, and the nodes: the cluster's state folder is the same on all of them."""
    cluster_now = Cluster.load()
    folder = cluster_now.state / f"e2e-{name}"
    folder.mkdir(exist_ok=True)
    os.chown(folder, int(LAUNCHER), int(LAUNCHER))
    try:
        yield str(folder), [known.name for known in cluster_now.nodes]
    finally:
        shutil.rmtree(folder)


@contextmanager
def shared_claim(name: str, size: str = "64Mi") -> Iterator[None]:
    """A claim whose folder every node has."""
    with (
        shared_folder(name) as (folder, names),
        claim(name, folder, "Filesystem", size, access="ReadWriteMany", names=names),
    ):
        yield


@contextmanager
def shared_volume(name: str, size: str) -> Iterator[None]:
    """A volume whose folder every node has, for a claim of that name that the test creates."""
    with shared_folder(name) as (folder, names):
        try:
            _provide(name, {**_common("Filesystem", "ReadWriteMany"), "local": {"path": folder}}, size, names)
            yield
        finally:
            kubectl("delete", "pvc", name, "--ignore-not-found", "--timeout=180s")
            kubectl("delete", "pv", f"e2e-{name}", "--ignore-not-found", "--timeout=180s")


@contextmanager
def claim(
    name: str,
    path: str,
    mode: str,
    size: str,
    *,
    source: str = "local",
    access: str = "ReadWriteOnce",
    names: list[str] | None = None,
) -> Iterator[None]:
    """A volume of the node, or of the named ones, folder or device, and a claim that is bound to it. The kubelet gives
    a folder of source "local" to the pod's fsGroup, one of "hostPath" it leaves as it is."""
    common = _common(mode, access)
    body = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {**common, "volumeName": f"e2e-{name}", "resources": {"requests": {"storage": size}}},
    }
    try:
        _provide(name, {**common, source: {"path": path}}, size, names or [node_name()])
        apply(body)
        wait("pvc", name, "jsonpath={.status.phase}=Bound")
        yield
    finally:
        kubectl("delete", "pvc", name, "--ignore-not-found", "--timeout=180s")
        kubectl("delete", "pv", f"e2e-{name}", "--ignore-not-found", "--timeout=180s")


def _common(mode: str, access: str) -> dict[str, Any]:
    """What a volume and its claim have to agree on."""
    return {"storageClassName": "", "volumeMode": mode, "accessModes": [access]}


def _provide(name: str, spec: dict[str, Any], size: str, names: list[str]) -> None:
    """Create the volume for the claim of that name. A claim that is seen before its volume is looked at again only
    after a while."""
    where = {"key": "kubernetes.io/hostname", "operator": "In", "values": names}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"e2e-{name}"},
        "spec": {
            **spec,
            "capacity": {"storage": size},
            "claimRef": {"namespace": "default", "name": name},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [where]}]}},
        },
    }
    apply(volume)
    wait("pv", f"e2e-{name}", "jsonpath={.status.phase}=Available")


@contextmanager
def folder_of_node(name: str, owner: str = LAUNCHER) -> Iterator[str]:
    """A folder of the node, of launchers or of another user."""
    path = f"/var/lib/{name}"
    in_node("install", "-d", "-m", "0755", "-o", owner, "-g", owner, path)
    try:
        yield path
    finally:
        in_node("rm", "-rf", path)


@contextmanager
def loop_device(backing: Path, size: int) -> Iterator[str]:
    """A block device, the same on this machine and in the node, over a file that is made."""
    with backing.open("wb") as file:
        file.truncate(size)
    made = subprocess.run(["losetup", "--find", "--show", str(backing)], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"this machine gives no loop device: {made.stderr.strip()}")
    name = made.stdout.strip()
    try:
        if node.exec(NODE, ["test", "-b", name], check=False).returncode != 0:
            pytest.skip(f"the node does not see {name} of this machine")
        yield name
    finally:
        subprocess.run(["losetup", "--detach", name], check=True)


@contextmanager
def file_system_of_node(name: str, device: str) -> Iterator[str]:
    """A file system of its own in a folder of the node that launchers may write to."""
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", device], check=True)
    with folder_of_node(name) as path:
        in_node("mount", device, path)
        try:
            in_node("rmdir", f"{path}/lost+found")
            in_node("chown", f"{LAUNCHER}:{LAUNCHER}", path)
            yield path
        finally:
            in_node("umount", path)
