"""Releases as their images: each process has an image's root, its Python and its packages, and no tree's.

Of a tree it has the tests' doubles alone, in folders that are bound into the root. Needs root.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster.settings import Cluster

from tests.support.skew.suite import HERE, Release

COMPONENTS = ("virt-operator", "virt-api", "virt-controller", "virt-handler", "virt-launcher")
_PYTHON = "/opt/kubevirt/bin/python"
_IN_ROOT = """set -e
root=$1; shift
while [ "$1" != -- ]; do mkdir -p "$root$1"; mount --bind "$1" "$root$1"; shift; done
shift
mount --rbind /dev "$root/dev"; mount -t proc proc "$root/proc"
exec chroot "$root" "$@"
"""


@dataclass(frozen=True, slots=True)
class Image:
    """The root of a mounted image, and its environment."""

    root: Path
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ImageRelease(Release):
    """A release by its images. `source` is its tree."""

    images: Mapping[str, Image]
    shared: Path
    """The folder that all processes share."""

    def python(self, component: str, *argv: str) -> tuple[list[str], dict[str, str]]:
        """The image's Python, in its root and a mount namespace of its own."""
        image = self.images[component]
        bound = map(str, (self.source / "tests", HERE, self.shared))
        command = [
            "unshare",
            "--mount",
            "sh",
            "-c",
            _IN_ROOT,
            "sh",
            str(image.root),
            *bound,
            "--",
            _PYTHON,
            "-P",
            *argv,
        ]
        return command, {**image.environment, "PYTHONPATH": str(self.source), "PYTHONDONTWRITEBYTECODE": "1"}


class NotBuilt(Exception):
    """An image that is not in the local store: its name."""


@contextmanager
def mounted(tags: Mapping[str, tuple[str, Path]], shared: Path) -> Iterator[list[Release]]:
    """Releases by name, from their tag and tree.

    Raises:
        NotBuilt: `make images` of that release has not run here.
    """
    store = Cluster.load().cache / "containers"
    buildah = ["buildah", "--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", "overlay"]
    containers: list[str] = []

    def run(*argv: str) -> str:
        return subprocess.run([*buildah, *argv], capture_output=True, text=True, check=True).stdout.strip()

    known = run("images", "--format", "{{.Name}}:{{.Tag}}").splitlines()

    def image(name: str) -> Image:
        found = next((reference for reference in known if reference.endswith(f"/{name}")), None)
        if found is None:
            raise NotBuilt(name)
        config = json.loads(run("inspect", "--type", "image", found))["OCIv1"]["config"]
        containers.append(run("from", "--pull-never", found))
        environment = dict(entry.partition("=")[::2] for entry in config.get("Env", ()))
        return Image(Path(run("mount", containers[-1])), environment)

    try:
        yield [
            ImageRelease(name, source, {part: image(f"{part}:{tag}") for part in COMPONENTS}, shared)
            for name, (tag, source) in tags.items()
        ]
    finally:
        for container in containers:
            run("rm", container)
