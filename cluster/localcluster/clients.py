"""The programs that tests run, helm, virtctl and kube-state-metrics, and a bench's kwok. Built from the Go modules that
cluster/<name>/go.mod pins, and cached by its contents. Used by tests and by `python -m localcluster client`.

Helm's module and that of kube-state-metrics pin Kubernetes' packages and their dependencies at the versions of
cluster/kube, so that they share Go's build cache: after a build of Kubernetes they take half a minute instead of two.
virtctl is KubeVirt's own; it takes two and a half minutes. kwok, which plays the kubelets of fake nodes, is of another
Kubernetes and takes as long.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localcluster import go_build, go_toolchain
from localcluster.progress import step
from localcluster.settings import KUBERNETES_VERSION, PROJECT_ROOT, Cluster


@dataclass(frozen=True, slots=True)
class Client:
    """A third-party program. `versions` returns the Go variables for its version, from its module's version."""

    name: str
    module: str
    package: str
    """Below the module; "": the module's own."""

    versions: Callable[[str], dict[str, str]]

    @property
    def sources(self) -> Path:
        """The folder of go.mod."""
        return PROJECT_ROOT / "cluster" / self.name

    def flags(self) -> str:
        """The linker's."""
        values = self.versions(version((self.sources / "go.mod").read_text(), self.module))
        return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in values.items())])


def version(go_mod: str, module: str) -> str:
    """The module's version in the text of go.mod."""
    found = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise ValueError(f"go.mod: no {module} is required")
    return found[1]


def _helm_versions(own: str) -> dict[str, str]:
    """Helm's version, and the Kubernetes version that it assumes without a cluster."""
    major, minor, _ = KUBERNETES_VERSION.lstrip("v").split(".")
    values = {"helm.sh/helm/v3/internal/version.version": own}
    for package in ("pkg/chartutil", "pkg/lint/rules"):
        values |= {f"helm.sh/helm/v3/{package}.k8sVersion{part}": n for part, n in (("Major", major), ("Minor", minor))}
    return values


def _virtctl_versions(own: str) -> dict[str, str]:
    return {"kubevirt.io/client-go/version.gitVersion": own}


def _kwok_versions(own: str) -> dict[str, str]:
    return {"sigs.k8s.io/kwok/pkg/consts.Version": own}


def _state_metrics_versions(own: str) -> dict[str, str]:
    return {"github.com/prometheus/common/version.Version": own}


HELM = Client("helm", "helm.sh/helm/v3", "cmd/helm", _helm_versions)
VIRTCTL = Client("virtctl", "kubevirt.io/kubevirt", "cmd/virtctl", _virtctl_versions)
KWOK = Client("kwok", "sigs.k8s.io/kwok", "cmd/kwok", _kwok_versions)
STATE_METRICS = Client("statemetrics", "k8s.io/kube-state-metrics/v2", "", _state_metrics_versions)
CLIENTS = {client.name: client for client in (HELM, VIRTCTL, KWOK, STATE_METRICS)}


def ensure(client: Client, cluster: Cluster) -> Path:
    """The binary, built if the cache has none for this go.mod. Raises PartFailed with the build's log."""
    binary = cluster.cache / f"{client.name}-{go_build.key(client.sources)}"
    if not binary.exists():
        cluster.cache.mkdir(parents=True, exist_ok=True)
        with step(f"building {client.name}"):
            go = go_toolchain.find(cluster)
            package = f"{client.module}/{client.package}".removesuffix("/")
            go_build.build(go, client.sources, package, client.flags(), binary)
    return binary


def ensure_link(client: Client, cluster: Cluster) -> Path:
    """A link with the client's name to the binary, in the same folder as kubectl's."""
    link = cluster.bin / client.name
    binary = ensure(client, cluster)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(binary)
    return link
