"""The device nodes of launchers for /dev/net/tun and /dev/kvm. Created by registration.py before it registers.

The container runtime copies owner and mode of the host's device node. On some hosts only root may open it, and a
launcher runs as user 107 without capabilities. So a launcher gets a separate node that everybody may open. Only
containers that request the device from the kubelet have it in their device cgroup. Opening tun grants nothing: the
handler creates the tap devices, and only their owner may attach.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_MODE = 0o666


def ensure(folder: Path, name: str, device: int) -> Path:
    """Create the node `name` for `device` if necessary and return its path, which is the same on the host. It is in a
    sub-folder, because a starting kubelet removes all files of `folder`.

    Raises:
        OSError: device nodes cannot be created there.
    """
    path = folder / "kubevirt-devices" / name
    path.parent.mkdir(mode=0o755, exist_ok=True)
    if _is_right(path, device):
        return path
    new = path.with_name(f"{name}.new")
    new.unlink(missing_ok=True)
    os.mknod(new, _MODE | stat.S_IFCHR, device)
    new.chmod(_MODE)  # the umask restricts mknod's mode
    new.rename(path)
    return path


def _is_right(path: Path, device: int) -> bool:
    try:
        status = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == device and stat.S_IMODE(status.st_mode) == _MODE
