"""The local store of images, and buildah, which works on it. Used by everything that builds or reads images."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcluster.settings import Cluster


def buildah(cluster: Cluster) -> list[str]:
    """The command without its verb."""
    store = cluster.cache / "containers"
    return ["buildah", "--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", "overlay"]


def has(command: list[str], name: str) -> bool:
    """Whether the store has the image."""
    there = subprocess.run([*command, "images", "--quiet", name], capture_output=True, check=False)
    return there.returncode == 0 and bool(there.stdout.strip())


@contextmanager
def container(command: list[str], image: str) -> Iterator[str]:
    """A container of an image in the store, or of "scratch", for a moment."""
    argv = [*command, "from", "--pull-never", image]
    name = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    try:
        yield name
    finally:
        subprocess.run([*command, "rm", name], capture_output=True, check=False)


@contextmanager
def mounted_container(command: list[str], image: str) -> Iterator[tuple[str, Path]]:
    """A container and its root file system."""
    with container(command, image) as name:
        argv = [*command, "mount", name]
        yield name, Path(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip())


@contextmanager
def mounted(command: list[str], image: str) -> Iterator[Path]:
    """The root file system of an image, to read."""
    with mounted_container(command, image) as (_, root):
        yield root
