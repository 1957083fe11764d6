"""The Debian bases of the product's images, built by mmdebstrap from the machine's apt sources. Called by `images`.

The launcher's image has LAUNCHER_SUITE, or what LAUNCHER_BASE in the environment names; all others have SUITE.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from localcluster import build_settings, debian_packages, store
from localcluster.progress import PartFailed, step
from localcluster.settings import BadSetting, Cluster

SUITE = "bookworm"
LAUNCHER_SUITE = "trixie"
LAUNCHER_SUITES = (SUITE, LAUNCHER_SUITE)
"""Debian releases on which the launcher is built and tested: QEMU 7.2 and libvirt 9.0, QEMU 10.0 and libvirt 11.3."""


def launcher_suite(environment: Mapping[str, str] = os.environ) -> str:
    """The Debian release of the launcher's image. Raises BadSetting."""
    suite = environment.get("LAUNCHER_BASE") or LAUNCHER_SUITE
    if suite not in LAUNCHER_SUITES:
        raise BadSetting(f"LAUNCHER_BASE: {suite!r} is not allowed, use {' or '.join(LAUNCHER_SUITES)}")
    return suite


def ensure(cluster: Cluster, buildah: list[str], suite: str = SUITE) -> str:
    """Name of the base image in buildah's store. Builds it if the machine's sources have changed. Raises PartFailed."""
    sources = build_settings.debian_sources(suite) or build_settings.renamed(
        build_settings.debian_sources(SUITE), SUITE, suite
    )
    name = f"localhost/debian:{suite}-{hashlib.sha256(sources.encode()).hexdigest()[:8]}"
    if store.has(buildah, name):
        return name
    log = cluster.cache / "base-image.log"
    archive = cluster.cache / "base-image.tar"
    with step(f"making the base image {name}"):
        options = [f"--aptopt={option}" for option in build_settings.apt_options()]
        argv = ["mmdebstrap", "--variant=minbase", "--include=ca-certificates", *options, suite, str(archive)]
        if sources:
            listed = cluster.cache / "base-image.sources"
            listed.write_text(sources)
            argv.append(str(listed))
        with log.open("wb") as output:
            if subprocess.run(argv, stdout=output, stderr=output, check=False).returncode:
                raise PartFailed("base image", "mmdebstrap failed", log)
            commit(buildah, archive, name)
        archive.unlink()
    return name


def pinned(buildah: list[str], base: str, packages: Mapping[str, str]) -> str:
    """Name of an image of `base` on which apt selects these versions. Its name follows them, so steps that were built
    on other versions are not taken for it."""
    if not packages:
        return base
    preferences = debian_packages.preferences(packages)
    name = f"{base}-{hashlib.sha256(preferences.encode()).hexdigest()[:8]}"
    if not store.has(buildah, name):
        with store.mounted_container(buildah, base) as (container, root):
            (root / "etc/apt/preferences.d/recorded-release").write_text(preferences)
            subprocess.run([*buildah, "commit", "--quiet", container, name], capture_output=True, check=True)
    return name


def commit(buildah: list[str], archive: Path, name: str) -> None:
    """Create an image with a single layer from a tar of a root file system."""
    with store.container(buildah, "scratch") as container:
        subprocess.run([*buildah, "add", "--quiet", container, str(archive), "/"], capture_output=True, check=True)
        subprocess.run([*buildah, "config", "--cmd", "/bin/bash", container], capture_output=True, check=True)
        subprocess.run([*buildah, "commit", "--quiet", container, name], capture_output=True, check=True)
