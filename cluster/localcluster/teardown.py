"""The end: `kill` ends every process at once and cleans nothing; `down` leaves nothing but the caches."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from localcluster import cgroups, host_network, processes
from localcluster.progress import say, step
from localcluster.settings import Cluster


def kill(cluster: Cluster) -> int:
    """kill -9 of every process of the cluster, nodes with their pods included. Returns how many were signalled."""
    found = processes.marked(cluster)
    processes.kill(found)
    say(f"killed {len(found)} processes")
    return len(found)


def down(cluster: Cluster) -> None:
    """Remove the cluster, whole or half dead; twice is fine."""
    with step("removing the cluster", "gone"):
        while processes.marked(cluster):  # again, for what was being started meanwhile
            kill(cluster)
        host_network.remove(cluster)
        cgroups.remove()
        for mount in mounts_below(cluster.state):
            subprocess.run(["umount", "--lazy", mount], check=False)
        if cluster.state.exists():
            shutil.rmtree(cluster.state)
        cluster.kubeconfig.unlink(missing_ok=True)


def mounts_below(folder: Path) -> list[str]:
    """Mount points in or at the folder, the deepest first."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return sorted((p for p in points if Path(p).is_relative_to(folder)), key=len, reverse=True)
