"""The device node of a claim of mode Block, made usable for the launcher. Called by machines/execute.py.

The kubelet has the container runtime make such nodes in the container's own /dev. Not every runtime gives them to the
container's user, and the launcher is user 107 without capabilities. The folder is the guest's side: every step is
opened without following links, and only a block device changes its owner. Which devices a container may use at all is
up to its device cgroup, which this does not touch.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class NoBlockDevice(Exception):
    """What is at that place in the launcher's container is no block device."""


def give(root: int, path: str, user: int) -> None:
    """Make `user` the owner of the block device at `path` below the folder `root`.

    Raises:
        NoBlockDevice: something else is there, or nothing.
    """
    try:
        with _opened(root, path) as found:
            status = os.fstat(found)
            if not stat.S_ISBLK(status.st_mode):
                raise NoBlockDevice(f"{path} in the launcher's container is no block device")
            if status.st_uid != user:
                os.chown(f"/proc/self/fd/{found}", user, -1)
    except OSError as error:
        raise NoBlockDevice(f"{path} in the launcher's container: {error.strerror}") from error


@contextmanager
def _opened(root: int, path: str) -> Iterator[int]:
    current = os.dup(root)
    try:
        for name in PurePosixPath(path).parts[1:]:
            following = os.open(name, _STEP, dir_fd=current)
            os.close(current)
            current = following
        yield current
    finally:
        os.close(current)
