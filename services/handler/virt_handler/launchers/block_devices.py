"""Gives the launcher access to the device node of a claim in mode Block. Called by machines/pod.py.

The container runtime creates such nodes in the container's /dev. Not every runtime makes the container's user their
owner, and the launcher runs as user 107 without capabilities. The guest's side controls the folder: every step is
opened without following links, and only the owner of a block device is changed. The container's device cgroup, which
decides which devices it may use, stays unchanged.
"""

from __future__ import annotations

import os
import stat

from virt_handler.launchers.hostile_steps import opened


class NoBlockDevice(Exception):
    """The path in the launcher's container is not a block device."""


def give(root: int, path: str, user: int) -> None:
    """Make `user` the owner of the block device at `path` below the folder `root`.

    Raises:
        NoBlockDevice: it does not exist, or is not a block device.
    """
    try:
        with opened(root, path) as found:
            status = os.fstat(found)
            if not stat.S_ISBLK(status.st_mode):
                raise NoBlockDevice(f"{path} in the launcher's container is not a block device")
            if status.st_uid != user:
                os.chown(f"/proc/self/fd/{found}", user, -1)
    except OSError as error:
        raise NoBlockDevice(f"{path} in the launcher's container: {error.strerror}") from error
