"""Opening a path below the root folder of a launcher, step by step, so that nothing there leads out of it.

Called by block_devices.py and claim_images.py.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 8
# Far more than an image needs. The time grows with the square: a link through 2000 folders would take 20 s.
_MOST_FOLDERS = 64


@contextmanager
def opened(root: int, path: str) -> Iterator[int]:
    """An O_PATH descriptor of what is at `path` below the folder `root`. No link is followed.

    Raises:
        OSError: nothing is there, or a link or a file is in the way.
    """
    current = os.dup(root)
    try:
        for name in _names(path):
            following = os.open(name, _STEP, dir_fd=current)
            os.close(current)
            current = following
        yield current
    finally:
        os.close(current)


@contextmanager
def opened_inside(root: int, path: str) -> Iterator[int]:
    """The same, for paths that the image has links in, as Debian's /var/run: they are followed inside `root`."""
    with opened(root, without_links(root, path)) as found:
        yield found


def without_links(root: int, path: str) -> str:
    """The path of the same file without links on the way, as a process with that root finds it.

    Raises:
        OSError: nothing is there, or it leads through too many links or folders.
    """
    done: list[str] = []
    left = _names(path)
    links = 0
    while left:
        name = left.pop(0)
        with opened(root, "/".join(("", *done, name))) as found:
            if not stat.S_ISLNK(os.fstat(found).st_mode):
                done.append(name)
                continue
            target = os.readlink("", dir_fd=found)
        links += 1
        left = [*_names(target), *left]
        if links > _MOST_LINKS or len(done) + len(left) > _MOST_FOLDERS or ".." in PurePosixPath(target).parts:
            raise OSError(f"{path} leads through too many links or folders, or upwards")
        if target.startswith("/"):
            done = []
    return "/".join(("", *done))


def _names(path: str) -> list[str]:
    return [name for name in PurePosixPath(path).parts if name != "/"]
