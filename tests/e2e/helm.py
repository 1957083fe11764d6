"""Helm in the suite's namespace, for end-to-end tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

from localcluster import clients
from localcluster.settings import Cluster

from tests.e2e.cluster import NAMESPACE


def helm(*arguments: str | Path, check: bool = True) -> str:
    """What it printed. Fails if it fails, or if it does not while `check` is False."""
    command = [clients.ensure(clients.HELM, Cluster.load()), "--namespace", NAMESPACE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode == 0) is check, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr
