"""A single binary with Kubernetes, etcd, CoreDNS and kubectl, built from cluster/kube and cached by its sources."""

from __future__ import annotations

import shutil
from pathlib import Path

from localcluster import go_build, go_toolchain
from localcluster.progress import step
from localcluster.settings import KUBERNETES_VERSION, PROJECT_ROOT, Cluster

SOURCES = PROJECT_ROOT / "cluster" / "kube"


def version_flags() -> str:
    major, minor, _ = KUBERNETES_VERSION.lstrip("v").split(".")
    package = "k8s.io/component-base/version"
    values = {"gitVersion": KUBERNETES_VERSION, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s -w", *(f"-X {package}.{name}={value}" for name, value in values.items())])


def ensure(cluster: Cluster) -> Path:
    """The binary, built if the cache has none for these sources. Raises PartFailed with the build's log."""
    binary = cluster.cache / f"kube-{go_build.key(SOURCES)}"
    if not binary.exists():
        cluster.cache.mkdir(parents=True, exist_ok=True)
        go = go_toolchain.find(cluster)
        with step("building Kubernetes (6 min on 2 cores with an empty Go cache)"):
            go_build.build(go, SOURCES, ".", version_flags(), binary)
    return binary


def ensure_kubectl(cluster: Cluster, binary: Path) -> str:
    """The kubectl to use: the one in PATH, or a link to the binary in build/cluster/bin."""
    link = cluster.bin / "kubectl"
    present = shutil.which("kubectl")
    if present and Path(present) != link:
        return present
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(binary)
    return str(link)
