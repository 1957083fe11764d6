"""The device node that launchers get as /dev/net/tun. Made by registration.py before the plugin is announced.

The container runtime copies owner and mode from the host's node. Some hosts keep /dev/net/tun to root, and a launcher
is user 107 without capabilities; so it gets a node of our own, open to all. Opening it gives nobody anything: devices
are made by the handler, and only their owner may attach.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_TUN = os.makedev(10, 200)  # MISC_MAJOR and TUN_MINOR of <linux/miscdevice.h>
_MODE = 0o666


def ensure_tun(folder: Path) -> Path:
    """The node's path, which must be the same on the host. A sub-folder, for a kubelet that starts removes all files.

    Raises:
        OSError: no device nodes can be made there.
    """
    path = folder / "kubevirt-devices" / "tun"
    path.parent.mkdir(mode=0o755, exist_ok=True)
    if _is_right(path):
        return path
    new = path.with_name("tun.new")
    new.unlink(missing_ok=True)
    os.mknod(new, _MODE | stat.S_IFCHR, _TUN)
    new.chmod(_MODE)  # mknod's mode is cut by the umask
    new.rename(path)
    return path


def _is_right(path: Path) -> bool:
    try:
        status = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == _TUN and stat.S_IMODE(status.st_mode) == _MODE
