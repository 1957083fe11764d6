"""Helm, built from its Go module as cluster/helm/go.mod pins it and cached by that. Used by tests and by `helm`.

That module has Kubernetes' packages, and what they stand on, at the versions of cluster/kube, so that the two share
Go's build cache: half a minute after Kubernetes was built, instead of two.
"""

from __future__ import annotations

import re
from pathlib import Path

from localcluster import go_build, go_toolchain
from localcluster.progress import step
from localcluster.settings import KUBERNETES_VERSION, PROJECT_ROOT, Cluster

SOURCES = PROJECT_ROOT / "cluster" / "helm"
MODULE = "helm.sh/helm/v3"


def version(go_mod: str) -> str:
    """Helm's version in the text of go.mod."""
    found = re.search(rf"^\s*(?:require )?{re.escape(MODULE)} (v\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise ValueError(f"go.mod: no {MODULE} is required")
    return found[1]


def version_flags() -> str:
    """Helm's own version, and the Kubernetes that it renders for where it sees no cluster."""
    major, minor, _ = KUBERNETES_VERSION.lstrip("v").split(".")
    values = {"internal/version.version": version((SOURCES / "go.mod").read_text())}
    for package in ("pkg/chartutil", "pkg/lint/rules"):
        values |= {f"{package}.k8sVersionMajor": major, f"{package}.k8sVersionMinor": minor}
    return " ".join(["-s -w", *(f"-X {MODULE}/{name}={value}" for name, value in values.items())])


def ensure(cluster: Cluster) -> Path:
    """The binary, built when the cache has none for this go.mod. Raises PartFailed with the build's log."""
    binary = cluster.cache / f"helm-{go_build.key(SOURCES)}"
    if not binary.exists():
        cluster.cache.mkdir(parents=True, exist_ok=True)
        with step("building helm (half a minute after Kubernetes was built)"):
            go_build.build(go_toolchain.find(cluster), SOURCES, f"{MODULE}/cmd/helm", version_flags(), binary)
    return binary


def ensure_link(cluster: Cluster) -> Path:
    """A link `helm` to the binary, beside kubectl's."""
    link = cluster.bin / "helm"
    binary = ensure(cluster)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(binary)
    return link
