"""The tag of a build: version and a hash of everything that goes into the images. Used by `images`; only reads."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from localcluster import base_image

INPUTS = (
    "services",
    "protos",
    "tests/guest-image",
    "requirements.lock",
    "uv.lock",
    "pyproject.toml",
    "VERSION",
)


def source_tag(source: Path, launcher_suite: str = base_image.LAUNCHER_SUITE) -> str:
    """`<version>-<12 hex digits>` of the working tree as it is, committed or not. The launcher's Debian release
    follows unless it is the usual one."""
    tag = f"{version(source)}-{digest(source, files(source))[:12]}"
    return tag if launcher_suite == base_image.LAUNCHER_SUITE else f"{tag}-{launcher_suite}"


def version(source: Path) -> str:
    return (source / "VERSION").read_text().strip()


def files(source: Path) -> list[str]:
    """Paths of the inputs that git would take, or all where there is no git, sorted."""
    argv = ["git", "-C", str(source), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *INPUTS]
    listed = subprocess.run(argv, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        found = {name for name in listed.stdout.split("\0") if name}
    else:
        found = set(walk(source))
    return sorted(name for name in found if (source / name).is_file() or (source / name).is_symlink())


def walk(source: Path) -> Iterable[str]:
    for name in INPUTS:
        top = source / name
        for path in [top] if top.is_file() else top.rglob("*"):
            if "__pycache__" not in path.parts and not path.is_dir():
                yield str(path.relative_to(source))


def digest(source: Path, names: Iterable[str]) -> str:
    """SHA-256 over name, execute bit and content of each file."""
    whole = hashlib.sha256()
    for name in names:
        path = source / name
        if path.is_symlink():
            kind, content = "link", os.fsencode(path.readlink())
        else:
            kind, content = ("program" if path.stat().st_mode & 0o100 else "file"), path.read_bytes()
        whole.update(f"{name}\0{kind}\0{len(content)}\0".encode())
        whole.update(content)
    return whole.hexdigest()
