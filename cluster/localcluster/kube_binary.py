"""The one binary that is Kubernetes, etcd, CoreDNS and kubectl, built from cluster/kube and cached by its sources."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from localcluster import go_toolchain
from localcluster.progress import PartFailed, say, step
from localcluster.settings import KUBERNETES_VERSION, PROJECT_ROOT, Cluster

SOURCES = PROJECT_ROOT / "cluster" / "kube"
SAY_EVERY_SECONDS = 60


def key(sources: Path) -> str:
    """Sixteen hex digits of the SHA-256 over names and contents of go.mod, go.sum and *.go."""
    digest = hashlib.sha256()
    for path in sorted([sources / "go.mod", sources / "go.sum", *sources.glob("*.go")]):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def version_flags() -> str:
    major, minor, _ = KUBERNETES_VERSION.lstrip("v").split(".")
    package = "k8s.io/component-base/version"
    values = {"gitVersion": KUBERNETES_VERSION, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s -w", *(f"-X {package}.{name}={value}" for name, value in values.items())])


def ensure(cluster: Cluster) -> Path:
    """The binary, built when the cache has none for these sources. Raises PartFailed with the build's log."""
    binary = cluster.cache / f"kube-{key(SOURCES)}"
    if not binary.exists():
        cluster.cache.mkdir(parents=True, exist_ok=True)
        go = go_toolchain.find(cluster)
        with step("building Kubernetes (6 min on 2 cores with an empty Go cache)"):
            build(go, binary, cluster.cache / "kube-build.log")
    return binary


def build(go: str, binary: Path, log: Path) -> None:
    """Static, so that it needs nothing of the machine it runs on; moved into its place when complete."""
    unfinished = binary.with_suffix(f".{os.getpid()}")
    argv = [go, "build", "-buildvcs=false", "-trimpath", "-ldflags", version_flags(), "-o", str(unfinished), "."]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    with log.open("wb") as output:
        process = subprocess.Popen(argv, cwd=SOURCES, stdout=output, stderr=output, env=environment)
        minutes = 0
        try:
            while True:
                try:
                    code = process.wait(timeout=SAY_EVERY_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    minutes += 1
                    say(f"building Kubernetes: {minutes} min so far")
        finally:
            process.kill()
    if code:
        raise PartFailed("Kubernetes", f"`go build` ended with {code}", log)
    unfinished.replace(binary)


def ensure_kubectl(cluster: Cluster, binary: Path) -> str:
    """The kubectl to use: PATH's, else a link to the binary in build/cluster/bin."""
    link = cluster.bin / "kubectl"
    present = shutil.which("kubectl")
    if present and Path(present) != link:
        return present
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(binary)
    return str(link)
