"""A cluster without the suite gets it from dist/ alone: images from archives, objects from the manifests beside them.

`make test-all` writes dist/ before. The suite that the other tests use is removed, and installed again afterwards.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from localcluster.releases import archives
from localcluster.settings import PROJECT_ROOT

from tests.e2e.builds import TODAY, reached
from tests.e2e.cluster import NAMESPACE, get, kubectl, wait
from tests.e2e.guests import manifest, running

pytestmark = pytest.mark.slow

DIST = PROJECT_ROOT / "dist"
COMPONENTS = {"virt-api": "deployment", "virt-controller": "deployment", "virt-handler": "daemonset"}


def objects(name: str) -> list[Any]:
    """Of a manifest in dist/."""
    return list(yaml.safe_load_all((DIST / name).read_text()))


def image_of(workload: Any) -> str:
    image: str = workload["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


def upload() -> dict[str, str]:
    """Copy the archives to the registry that the manifest names; returns the digest by image."""
    registry, _, named = image_of(objects("kubevirt-operator.yaml")[-1]).rpartition("/")
    assert registry == os.environ["REGISTRY"], "run `make release` with the same REGISTRY"
    version = named.partition(":")[2].partition("@")[0]
    digests = {}
    for archive in sorted((DIST / "images").glob("*.tar")):
        target = f"docker://{registry}/{archive.stem}:{version}"
        argv = ["skopeo", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"]
        subprocess.run([*argv, f"oci-archive:{archive}", target], check=True, capture_output=True)
        digests[archive.stem] = archives.digest(archive)
    return digests


def remove_suite(manifests: Path) -> None:
    """Delete what both manifests in the folder name, the KubeVirt object first."""
    for name in ("kubevirt-cr.yaml", "kubevirt-operator.yaml"):
        kubectl("delete", "--ignore-not-found", "-f", str(manifests / name), "--wait", "--timeout=120s", deadline=130)


@pytest.fixture
def no_suite() -> Iterator[None]:
    """A cluster without the suite; this tree's build afterwards."""
    remove_suite(TODAY.folder / "manifests")
    try:
        yield
    finally:
        remove_suite(DIST)
        for name in ("kubevirt-operator.yaml", "kubevirt-cr.yaml"):
            kubectl("apply", "-f", str(TODAY.folder / "manifests" / name))
        reached(TODAY)


def test_a_cluster_gets_the_suite_from_dist_alone(no_suite: None) -> None:
    digests = upload()
    kubectl("apply", "-f", str(DIST / "kubevirt-operator.yaml"))
    (suite,) = objects("kubevirt-cr.yaml")
    # The only difference: the nodes of the tests have no hardware virtualization.
    suite["spec"]["configuration"]["developerConfiguration"]["useEmulation"] = True
    kubectl("wait", "crd/kubevirts.kubevirt.io", "--for=condition=Established", "--timeout=60s")
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump(suite))
    wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE, seconds=300)
    for name, kind in COMPONENTS.items():
        assert image_of(get("-n", NAMESPACE, kind, name)).endswith(f"@{digests[name]}")
    with running(manifest("from-dist"), seconds=120) as [guest]:
        launcher = guest.pod["spec"]["containers"][0]["image"]
        assert launcher.endswith(f"@{digests['virt-launcher']}")
