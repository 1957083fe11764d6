"""Copies this tree, makes it the next release, regenerates its contracts. Called by __main__.py and by unit tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.next_release.edits import apply_all
from tests.next_release.faults import FAULTS

SOURCE = Path(__file__).parents[2]
FOLDER = SOURCE / "build" / "next-release"
"""Those with a fault are beside it, with its name behind a dash."""

_PACKAGES = ("protos/python", "services/core", "services/operator", "services/handler", "services/launcher")


def folder_of(fault: str = "") -> Path:
    """Where a next release with this fault is made."""
    return FOLDER.with_name(f"{FOLDER.name}-{fault}") if fault else FOLDER


def make_tree(folder: Path, fault: str = "") -> None:
    """The next release in `folder`, which is replaced; with a fault of faults.py if one is named."""
    shutil.rmtree(folder, ignore_errors=True)
    listing = ["git", "-C", str(SOURCE), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in names:
        if (SOURCE / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(SOURCE / name, folder / name)
    # A repository of its own: in ours it would be below an ignored folder, and have no files.
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    apply_all(folder)
    for edit in FAULTS[fault] if fault else ():
        edit.apply(folder)
    subprocess.run([sys.executable, folder / "protos" / "generate.py"], check=True, capture_output=True)


def environment(folder: Path) -> Mapping[str, str]:
    """Variables with which this Python runs the packages of the tree in `folder` instead of this tree's."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(folder / package) for package in _PACKAGES)}
