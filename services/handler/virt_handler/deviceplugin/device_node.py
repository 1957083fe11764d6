"""The device nodes that launchers get as /dev/net/tun and /dev/kvm. Made by registration.py before they are announced.

The container runtime copies owner and mode from the host's node. Some hosts keep such nodes to root, and a launcher is
user 107 without capabilities; so it gets a node of our own, open to all. Only containers that ask the kubelet for the
device have it in their device cgroup. Opening tun gives nobody anything: devices are made by the handler, and only
their owner may attach.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_MODE = 0o666


def ensure(folder: Path, name: str, device: int) -> Path:
    """The path of the node `name` for `device`, which must be the same on the host. A sub-folder, for a kubelet that
    starts removes all files.

    Raises:
        OSError: no device nodes can be made there.
    """
    path = folder / "kubevirt-devices" / name
    path.parent.mkdir(mode=0o755, exist_ok=True)
    if _is_right(path, device):
        return path
    new = path.with_name(f"{name}.new")
    new.unlink(missing_ok=True)
    os.mknod(new, _MODE | stat.S_IFCHR, device)
    new.chmod(_MODE)  # mknod's mode is cut by the umask
    new.rename(path)
    return path


def _is_right(path: Path, device: int) -> bool:
    try:
        status = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == device and stat.S_IMODE(status.st_mode) == _MODE
