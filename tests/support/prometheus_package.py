"""Prometheus and promtool of Debian's package, unpacked without installing it. For tests.

The package is kept by its version beside what the local cluster keeps, outside of the repository.
"""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
from localcluster.settings import Cluster

PACKAGE = "prometheus"


def program(name: str) -> Path:
    """`prometheus` or `promtool`: that of this machine, or the package's. Skips the test where there is neither."""
    found = shutil.which(name)
    return Path(found) if found else _unpacked() / "usr" / "bin" / name


@cache
def _unpacked() -> Path:
    try:
        folder = Cluster.load().cache / f"{PACKAGE}-{_candidate()}"
        if not folder.exists():
            _unpack(folder)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        pytest.skip(f"no Debian package {PACKAGE}: {error}")
    return folder


def _candidate() -> str:
    """The version that apt would install."""
    shown = subprocess.run(["apt-cache", "policy", PACKAGE], capture_output=True, text=True, check=True, timeout=60)
    found = [line.split()[1] for line in shown.stdout.splitlines() if line.strip().startswith("Candidate:")]
    if not found or found[0] == "(none)":
        raise ValueError("apt knows of none, perhaps before its first `apt-get update`")
    return found[0]


def _unpack(folder: Path) -> None:
    """`folder` appears when it is complete."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    subprocess.run(["apt-get", "download", "-qq", PACKAGE], cwd=unfinished, check=True, timeout=120)
    (package,) = unfinished.glob(f"{PACKAGE}_*.deb")
    subprocess.run(["dpkg", "-x", package, unfinished], check=True, timeout=60)
    package.unlink()
    unfinished.rename(folder)
