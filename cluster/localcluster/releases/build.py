"""`images --release`: builds a recorded release's images from its commit, pushes them and writes its manifests. Called
by `make images RELEASE=…`.

The release's own Containerfiles and code decide what is in the images and manifests; this tree's decide only how
buildah is called. Environment: REGISTRY, as for `images`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from localcluster import images
from localcluster.progress import PartFailed
from localcluster.releases import tree
from localcluster.releases.recorded import Release
from localcluster.settings import Cluster


def provide(cluster: Cluster, release: Release) -> None:
    """Build and push what the registry lacks, and write the manifests. Quick if nothing has changed. Raises
    PartFailed."""
    source = tree.ensure(release)
    files = {name: path for name, path in images.containerfiles(source).items() if name not in images.GUESTS}
    launcher = release.launcher
    build = images.Build(source, release.tag, launcher.suite, files, launcher.packages, launcher.package_list)
    images.provide(cluster, build)
    (source / "build" / "tag").write_text(release.tag + "\n")
    write_manifests(source, os.environ.get("REGISTRY") or cluster.registry, release.tag)


def write_manifests(source: Path, registry: str, tag: str) -> None:
    """build/manifests in the release's tree, by its own operator's code. Raises PartFailed."""
    argv = [sys.executable, "-m", "virt_operator", "manifests", "--registry", registry, "--tag", tag]
    argv += ["--use-emulation", "--out", str(source / "build" / "manifests")]
    done = subprocess.run(argv, check=False, env=tree.environment(source), cwd=source, capture_output=True, text=True)
    if done.returncode:
        raise PartFailed("manifests", done.stderr.strip().splitlines()[-1])
