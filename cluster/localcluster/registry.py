"""The local image registry: Debian's docker-registry on the bridge's address. Called by `up`; `images` pushes to it."""

from __future__ import annotations

import json
import urllib.request

from localcluster import processes, waiting
from localcluster.progress import say
from localcluster.settings import Cluster

PART = "registry"
READY_SECONDS = 30
TIMEOUT_SECONDS = 3.0
# Accepted manifest types: OCI and Docker, single and list. Otherwise a registry converts manifests to an old format.
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)


def config(cluster: Cluster) -> dict[str, object]:
    return {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(cluster.state / "registry")}, "delete": {"enabled": True}},
        "http": {"addr": cluster.registry},
    }


def answers(cluster: Cluster) -> bool:
    try:
        with urllib.request.urlopen(f"http://{cluster.registry}/v2/", timeout=TIMEOUT_SECONDS):
            return True
    except OSError:
        return False


def has(registry: str, repository: str, tag: str) -> bool:
    """Whether a plain HTTP registry has the image; False also if it does not answer."""
    url = f"http://{registry}/v2/{repository}/manifests/{tag}"
    request = urllib.request.Request(url, method="HEAD", headers={"Accept": MANIFEST_TYPES})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310  always http
            return True
    except OSError:
        return False


def is_up(cluster: Cluster) -> bool:
    return processes.alive(cluster, PART) is not None and answers(cluster)


def start(cluster: Cluster) -> None:
    if processes.alive(cluster, PART):
        return
    say("starting registry")
    path = cluster.state / "registry.json"
    path.write_text(json.dumps(config(cluster)))
    processes.start(cluster, PART, ["docker-registry", "serve", str(path)])


def wait(cluster: Cluster) -> None:
    waiting.until(
        PART, lambda: answers(cluster), READY_SECONDS, cluster.log(PART), lambda: processes.alive(cluster, PART)
    )
