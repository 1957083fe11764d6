"""Runs what the documentation tells a reader to type. For test_readme.py and test_docs.py."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from localcluster import clients
from localcluster.settings import Cluster


def home(folder: Path) -> dict[str, str]:
    """An environment whose home is the folder, with a key of its own and virtctl on its PATH."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "virtctl").symlink_to(clients.ensure(clients.VIRTCTL, Cluster.load()))
    (folder / ".ssh").mkdir()
    (folder / ".ssh" / "id_ed25519.pub").write_text("ssh-ed25519 AAAA of-the-documentation\n")
    return {**os.environ, "HOME": str(folder), "PATH": f"{programs}:{os.environ['PATH']}"}


def run(command: str, environment: Mapping[str, str], folder: Path) -> str:
    """The output of a command that is typed in the folder. Fails with its errors as message."""
    bash = ["bash", "-euo", "pipefail", "-c", command]
    done = subprocess.run(
        bash, env=dict(environment), cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr}"
    return done.stdout
