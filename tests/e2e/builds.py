"""Builds of the suite: this tree, the newest recorded release (releases.toml), and this tree's next release
(tests/next_release). `make builds` makes all."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import yaml
from localcluster.registry import MANIFEST_TYPES
from localcluster.releases import recorded, tree

from tests.e2e.cluster import NAMESPACE, ROOT, apply, condition_of, get, kubectl, nodes, remove, until, wait
from tests.next_release.tree import folder_of
from tests.support.patience import PATIENCE


@dataclass(frozen=True, slots=True)
class Build:
    """Images in the registry and the manifests that name them."""

    name: str
    folder: Path

    @property
    def tag(self) -> str:
        """Of its images; also what the KubeVirt object calls its version."""
        return (self.folder / "tag").read_text().strip()

    @property
    def version(self) -> str:
        """Of the release."""
        return (self.folder.parent / "VERSION").read_text().strip()

    @property
    def operator_manifest(self) -> Path:
        """What `kubectl apply` installs the operator from."""
        return self.folder / "manifests" / "kubevirt-operator.yaml"


@dataclass(frozen=True, slots=True)
class Renamed(Build):
    """The same images under a tag that is no version."""

    name_of_tag: str

    @property
    def tag(self) -> str:
        """Of its images."""
        return self.name_of_tag


TODAY = Build("today", ROOT / "build")
NEXT = Build("next", folder_of() / "build")
RECORDED = Build(recorded.releases()[-1].version, tree.FOLDER / recorded.releases()[-1].version / "build")
COMPONENTS = ("virt-handler", "virt-controller", "virt-api")
"""In the order of an update."""


def pull(build: Build) -> None:
    """Have every node pull the images, so that what is measured is not the registry."""
    registry = images(TODAY)["virt-operator"].rpartition("/")[0]
    names = [f"{registry}/{name}:{build.tag}" for name in ("virt-operator", "virt-launcher", *COMPONENTS)]
    for node in set(nodes()):
        containers = [
            {"name": f"c{number}", "image": image, "command": ["/opt/kubevirt/bin/python", "-c", ""]}
            for number, image in enumerate(names)
        ]
        spec = {"nodeName": node, "restartPolicy": "Never", "containers": containers}
        metadata = {"name": f"pull-{build.name}-{node}", "namespace": "default"}
        apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    for node in set(nodes()):
        pod = f"pull-{build.name}-{node}"
        wait("pod", pod, "jsonpath={.status.phase}=Succeeded", seconds=2 * PATIENCE)
        remove("pod", pod)


def images(build: Build) -> dict[str, str]:
    """Image by Deployment of the manifest's operator."""
    text = build.operator_manifest.read_text()
    image = next(line.split()[-1] for line in text.splitlines() if "image:" in line and "virt-operator" in line)
    return {"virt-operator": image}


def renamed(build: Build, tag: str, registry: str) -> Build:
    """`build` with its images tagged once more in the registry."""
    for image in ("virt-operator", "virt-launcher", "virt-handler", "virt-controller", "virt-api"):
        url = f"http://{registry}/v2/{image}/manifests/"
        with urlopen(Request(url + build.tag, headers={"Accept": MANIFEST_TYPES}), timeout=30) as answer:
            content, kind = answer.read(), answer.headers["Content-Type"]
        put = Request(url + tag, data=content, method="PUT", headers={"Content-Type": kind})
        with urlopen(put, timeout=30) as answer:
            assert answer.status == 201, answer.status
    return Renamed(f"{build.name}-{tag}", build.folder, tag)


def faulty(fault: str) -> Build:
    """A next release of which a component is ready and does not work (tests/next_release/faults.py); builds it."""
    subprocess.run([sys.executable, "-m", "tests.next_release", fault], check=True, cwd=ROOT)
    return Build(fault, folder_of(fault) / "build")


def suite() -> Any:
    """The KubeVirt object now."""
    return get("-n", NAMESPACE, "kv", "kubevirt")


def condition(kind: str) -> dict[str, Any]:
    """A condition of the KubeVirt object now; without keys if it is not there."""
    return condition_of(suite(), kind)


def by_manifest(build: Build) -> None:
    """Change the suite's release as a person does who applies a manifest."""
    kubectl("apply", "-f", str(build.operator_manifest))


def by_image_tag(build: Build) -> None:
    """Change the suite's release by the KubeVirt object's imageTag. The operator's roles name the objects of a release,
    so one with new objects is not begun before somebody applies its roles; the condition names the manifest."""
    grant_permissions(NEXT)
    set_image_tag(build.tag)


def grant_permissions(build: Build) -> None:
    """Apply the roles in the operator's manifest, and nothing else of it."""
    documents = [document for document in yaml.safe_load_all(build.operator_manifest.read_text()) if document]
    roles = [document for document in documents if document["kind"] in ("Role", "ClusterRole")]
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(roles))


def set_image_tag(tag: str | None, registry: str | None = None) -> None:
    """None removes the field."""
    patch = json.dumps({"spec": {"imageTag": tag, "imageRegistry": registry}})
    kubectl("-n", NAMESPACE, "patch", "kv", "kubevirt", "--type=merge", "-p", patch)


def runs(build: Build) -> bool:
    """Whether the KubeVirt object says that all of `build` is there, the operator too."""
    status = suite().get("status", {})  # none yet of one that was just applied
    conditions = {condition["type"]: condition["status"] for condition in status.get("conditions", ())}
    operator = get("-n", NAMESPACE, "deployment", "virt-operator")
    image: str = operator["spec"]["template"]["spec"]["containers"][0]["image"]
    installed = status.get("observedKubeVirtVersion") == build.tag and not status.get("upgrade", {}).get("operation")
    settled = (conditions.get("Available"), conditions.get("Progressing"), conditions.get("Degraded"))
    return installed and settled == ("True", "False", "False") and image.endswith(f":{build.tag}")


def reached(build: Build, seconds: float = 2 * PATIENCE) -> float:
    """Wait until the suite is of `build`; returns the seconds that it took."""
    began = time.monotonic()
    try:
        until(lambda: runs(build), f"the suite to be {build.name} ({build.tag})", seconds, every=0.5)
    except AssertionError as error:
        description = kubectl("-n", NAMESPACE, "describe", "kv", "kubevirt", check=False)
        pods = kubectl("-n", NAMESPACE, "get", "pods", "-o", "wide", check=False)
        raise AssertionError(f"{error}\n{description[-5000:]}\n{pods}") from None
    return time.monotonic() - began
