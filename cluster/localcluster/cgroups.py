"""The parent cgroups of each node's kubelet: created before a node starts, removed by `down`.

cgroup v1 (also hybrid) has a tree per controller, and a new cpuset has no CPUs and no memory nodes until they are set.
cgroup v2 has a single tree, whose controllers must be enabled at each level.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from localcluster.settings import CGROUP, Node

ROOT = Path("/sys/fs/cgroup")
REMOVAL_SECONDS = 10.0


def trees() -> list[Path]:
    """The root of each tree, including hybrid's cgroup v2 tree, which has no controllers but is used by runc."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [path for path in sorted(ROOT.iterdir()) if path.is_dir() and not path.is_symlink()]


def ensure(node: Node) -> None:
    for tree in trees():
        for path in (tree / CGROUP, tree / CGROUP / node.name):
            pass_on_controllers(path.parent)
            path.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                own = path / name
                if tree != ROOT and own.exists() and not own.read_text().strip():
                    own.write_text((path.parent / name).read_text())


def pass_on_controllers(parent: Path) -> None:
    """cgroup v2 only: enable the parent's controllers for its children."""
    control = parent / "cgroup.subtree_control"
    if trees() == [ROOT] and control.exists():
        available = (parent / "cgroup.controllers").read_text().split()
        control.write_text(" ".join(f"+{name}" for name in available))


def remove(node: Node | None = None) -> None:
    """Remove the node's cgroups, or all. Kills remaining processes. Raises TimeoutError if a cgroup remains."""
    for tree in trees():
        top = tree / CGROUP / node.name if node else tree / CGROUP
        deadline = time.monotonic() + REMOVAL_SECONDS
        while top.exists() and not remove_tree(top):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{top} cannot be removed")
            time.sleep(0.05)  # a killed process leaves its cgroup with a delay


def remove_tree(top: Path) -> bool:
    """A single attempt, leaves first. Returns whether the tree is gone."""
    left = False
    for folder, _, _ in os.walk(top, topdown=False):
        path = Path(folder)
        try:
            for pid in (path / "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
            path.rmdir()
        except ProcessLookupError:
            left = True
        except FileNotFoundError:
            continue
        except OSError:
            left = True
    return not left
