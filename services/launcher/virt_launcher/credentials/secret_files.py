"""Reads a mounted Secret. Called by synchronize.py and by storage/sources.py. The kubelet keeps Secrets in memory, so
reading them never waits.

The kubelet replaces all files of a Secret at once by renaming the link `..data`. So all of them are read from the
folder to which the link pointed at one moment.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from virt_launcher.errors import UnusableSecret

_MOST_BYTES = 1 << 20  # of a Secret
_LINK = "..data"


def read_secret(folder: str) -> Mapping[str, bytes]:
    """The Secret's values by key.

    Raises:
        UnusableSecret: it cannot be read, or is larger than Kubernetes allows.
    """
    try:
        return _read(folder)
    except OSError as error:
        raise UnusableSecret(f"{folder} cannot be read: {error.strerror}") from error


def _read(folder: str) -> Mapping[str, bytes]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        at = os.open(f"{folder}/{_LINK}", flags)
    except FileNotFoundError:
        at = os.open(folder, flags)
    try:
        with os.scandir(at) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith(".."))  # the kubelet's own
        values: dict[str, bytes] = {}
        for name in names:
            content = _file(name, at, _MOST_BYTES - sum(map(len, values.values())))
            if content is not None:
                values[name] = content
        return values
    except _TooLarge:
        raise UnusableSecret(f"{folder} has more than {_MOST_BYTES} bytes") from None
    finally:
        os.close(at)


class _TooLarge(Exception):
    pass


def _file(name: str, at: int, left: int) -> bytes | None:
    """The file's content; None: it is no regular file."""
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        content = file.read(left + 1)
    if len(content) > left:
        raise _TooLarge
    return content
