"""The OCI configuration of a launcher pod's container, as containerd generates it. Used by conftest.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeAlias

USER = 107
Mounts: TypeAlias = "dict[str, tuple[Path, str]]"
"""Place in the container → folder of the machine and "rw" or "ro"."""


def oci_config(root: str, argv: list[str], environment: list[str], mounts: Mounts) -> dict[str, Any]:
    """What containerd gives to runc for a container of a pod that obeys PodSecurity's `restricted`."""
    tun = {"type": "c", "major": 10, "minor": 200}
    devices = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (10, 200)]
    allowed = [{"allow": True, "type": "c", "major": a, "minor": i, "access": "rwm"} for a, i in devices]
    quiet = ["nosuid", "noexec", "nodev"]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": USER, "gid": USER},
            "args": argv,
            "env": environment,
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": {},
        },
        "root": {"path": root, "readonly": True},
        "hostname": "virt-launcher-demo",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": quiet},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["newinstance", "ptmxmode=666"],
            },
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*quiet, "mode=1777"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*quiet, "ro"]},
            *(
                {"destination": to, "type": "bind", "source": str(source), "options": ["rbind", how]}
                for to, (source, how) in mounts.items()
            ),
        ],
        "linux": {
            "devices": [{**tun, "path": "/dev/net/tun", "fileMode": 0o666, "uid": 0, "gid": 0}],
            "resources": {"devices": [{"allow": False, "access": "rwm"}, *allowed]},
            "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")],
            "seccomp": seccomp_profile(),
        },
    }


def seccomp_profile() -> dict[str, Any]:
    """The machine's default container profile, as it is for a process without capabilities."""
    profile = json.loads(Path("/usr/share/containers/seccomp.json").read_text())
    rules = []
    for rule in profile["syscalls"]:
        needs = rule.get("includes") or {}
        if "caps" in needs or "amd64" not in needs.get("arches", ["amd64"]):
            continue
        kept = {key: rule[key] for key in ("names", "action", "errnoRet") if rule.get(key) is not None}
        rules.append({**kept, "args": rule.get("args") or []})
    architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    return {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "architectures": architectures, "syscalls": rules}
