"""Bundles the page with npm and esbuild, once for each state of its sources. `make page` and wheel.py call it.

Node's packages and bundles lie in $XDG_CACHE_HOME/virtadm-page, each in a folder named by a hash: packages by that of
the lock file, which names the hash of each package, a bundle by that of all sources. Nothing of it is written into the
repository but a link. No script of a package is run at its installation.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
LINK = HERE.parent / "virt_admin" / "ui" / "bundle"
_LOCK = (HERE / "package.json", HERE / "package-lock.json")


class CannotBundle(Exception):
    """npm or esbuild is missing, or has failed."""


def packages() -> Path:
    """The folder in which `node_modules` is."""
    found = _cache() / f"packages-{_hash(_LOCK)}"
    if not found.exists():
        with _made(found) as folder:
            for file in _LOCK:
                shutil.copy(file, folder)
            _run(folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
            folder.rename(found)
    return found


def bundle() -> Path:
    """The folder with the page's files."""
    found = _cache() / f"bundle-{_hash((*_LOCK, HERE / 'build.mjs', *sorted((HERE / 'src').iterdir())))}"
    if not found.exists():
        with _made(packages() / "work") as work:
            shutil.copytree(HERE / "src", work / "src")
            shutil.copy(HERE / "build.mjs", work)
            _run(work, "node", "build.mjs", "out")
            shutil.copytree(work / "out", work / "copy")
            (work / "copy").rename(found)
    return found


def link() -> None:
    """Let virtadm in this source tree find the bundle."""
    target = bundle()
    LINK.unlink(missing_ok=True)
    LINK.symlink_to(target)


def _cache() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "virtadm-page"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _hash(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


class _made:  # noqa: N801 - reads as a function
    """A new folder beside `path`, gone at the end unless it was renamed."""

    def __init__(self, path: Path) -> None:
        self._folder = TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent, ignore_cleanup_errors=True)

    def __enter__(self) -> Path:
        return Path(self._folder.__enter__())

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def _run(folder: Path, *argv: str) -> None:
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise CannotBundle(f"{argv[0]} is not installed; the page needs Node 20 or newer with npm") from error
    if done.returncode:
        raise CannotBundle(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip()[-2000:]}")


if __name__ == "__main__":
    try:
        link()
    except CannotBundle as error:
        sys.exit(str(error))
