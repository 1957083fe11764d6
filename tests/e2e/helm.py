"""Helm, for end-to-end tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

from localcluster import clients
from localcluster.settings import Cluster

from tests.e2e.cluster import NAMESPACE


def helm(*arguments: str | Path, check: bool = True, namespace: str = NAMESPACE) -> str:
    """What it printed. Without `check` it has to fail, and what it failed with is there, too."""
    command = [clients.ensure(clients.HELM, Cluster.load()), "--namespace", namespace, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode == 0) is check, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout if check else done.stdout + done.stderr
