"""The container image of tests/guest-debian, built and pushed when a test needs it first. For the slow tests."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from localcluster import build_settings, registry
from localcluster.base_image import SUITE
from localcluster.settings import Cluster

from tests.e2e.cluster import ROOT

NAME = "guest-debian"
_SOURCES = ROOT / "tests" / NAME


def ensure() -> str:
    """The image's reference; made if neither the registry nor the cache has it."""
    cluster = Cluster.load()
    target = os.environ["REGISTRY"]
    content = b"\0".join(path.read_bytes() for path in sorted(_SOURCES.iterdir()))
    tag = hashlib.sha256(content).hexdigest()[:12]
    reference = f"{target}/{NAME}:{tag}"
    local = target == cluster.registry
    if local and registry.has(target, NAME, tag):
        return reference
    store = cluster.cache / "containers"
    buildah = ["buildah", "--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", "overlay"]
    bud = ["bud", "--quiet", "--isolation", "chroot", "--tag", reference, "--file", str(_SOURCES / "Containerfile")]
    _run(*buildah, *bud, str(_files(cluster, tag)))
    insecure = local or bool(os.environ.get("REGISTRY_INSECURE"))
    _run(*buildah, "push", "--quiet", *(["--tls-verify=false"] if insecure else []), reference)
    return reference


def _files(cluster: Cluster, tag: str) -> Path:
    made = cluster.cache / f"{NAME}-{tag}"
    if not made.exists():
        unfinished = made.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        # The machine's own mirror has every suite; without one mmdebstrap knows where Debian is.
        mirror = re.search(r"(?m)^URIs: (\S+)", build_settings.debian_sources(SUITE))
        where = [mirror[1]] if mirror is not None else [""]
        _run(str(_SOURCES / "make-disk.sh"), str(unfinished), *where, *build_settings.apt_options())
        unfinished.rename(made)
    return made


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
