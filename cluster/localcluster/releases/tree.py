"""The source tree of a recorded release, below build/releases/VERSION: exactly its commit, from git. Used by the builds
of releases and by the checks of contracts.

build/ inside it holds what is made from it. A tree is written once, and again when the record names another commit.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from localcluster.progress import PartFailed
from localcluster.releases.recorded import Release
from localcluster.settings import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "build" / "releases"


def ensure(release: Release, project: Path = PROJECT_ROOT, folder: Path = FOLDER) -> Path:
    """The release's tree. Raises PartFailed if git does not have its commit."""
    tree = folder / release.version
    written = tree / "build" / "commit"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{release.version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `make test` builds and checks at the same time
        if not written.exists() or written.read_text().strip() != release.commit:
            shutil.rmtree(tree, ignore_errors=True)
            tree.mkdir()
            _extract(release, project, tree)
            written.parent.mkdir()
            written.write_text(release.commit + "\n")
    return tree


def has_history(project: Path = PROJECT_ROOT) -> bool:
    """Whether git has earlier commits here. A shallow clone and an archive have none."""
    argv = ["git", "-C", str(project), "rev-parse", "--is-shallow-repository"]
    return subprocess.run(argv, capture_output=True, check=False).stdout.strip() == b"false"


def is_ancestor(release: Release, project: Path = PROJECT_ROOT) -> bool:
    """Whether this branch contains the release's commit."""
    argv = ["git", "-C", str(project), "merge-base", "--is-ancestor", release.commit, "HEAD"]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def environment(tree: Path) -> Mapping[str, str]:
    """Variables with which this Python runs the packages of `tree` instead of this tree's."""
    folders = [tree / "protos" / "python", tree / "cluster", *sorted((tree / "services").iterdir())]
    # Compiled code is found by path and time of the source: all files of a tree have the time of their commit.
    without = {key: value for key, value in os.environ.items() if key != "PYTHONPYCACHEPREFIX"}
    return {**without, "PYTHONPATH": os.pathsep.join(map(str, folders)), "PYTHONDONTWRITEBYTECODE": "1"}


def _extract(release: Release, project: Path, tree: Path) -> None:
    # The modes of a usual clone, so that steps of the builds that were made from one are not repeated.
    git = ["git", "-C", str(project), "-c", "tar.umask=0022", "archive", "--format=tar", release.commit]
    with subprocess.Popen(git, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as archive:
        assert archive.stdout is not None and archive.stderr is not None
        unpacked = subprocess.run(["tar", "-xp", "-C", str(tree)], stdin=archive.stdout, check=False)
        complaint = archive.stderr.read().decode().strip()
    if archive.returncode or unpacked.returncode:
        shutil.rmtree(tree, ignore_errors=True)
        reason = f"commit {release.commit} cannot be read from git ({complaint}): a full clone has it"
        raise PartFailed(f"release {release.version}", reason)
