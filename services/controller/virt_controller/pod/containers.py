"""Properties that containers of a launcher pod share. Pure; called by the other modules of pod/."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from virt_core.conventions.launcher_pod import HELPERS, HELPERS_VOLUME

PROGRAMS = "/usr/lib/kubevirt"
"""The folder of static programs in the launcher's image."""

_INSTALLED = tuple(f"{PROGRAMS}/{name}" for name in ("container-disk", "boot-files"))
_LONGEST_LABEL = 63  # RFC 1123
VOLUME_PREFIX = "volume-"
"""Of a pod's volume, before the name of the VMI's: apart from the pod's own."""
IDLE: dict[str, Any] = {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "100m", "memory": "40Mi"}}
"""Resources of a static program that runs as long as the pod and mostly waits. The limit leaves room for the container
runtime, which starts in the same cgroup."""
COPYING: dict[str, Any] = {"requests": IDLE["requests"], "limits": {"cpu": "500m", "memory": "128Mi"}}
"""Resources of one that first copies files, whose pages are in its cgroup."""


@dataclass(frozen=True, slots=True)
class LauncherSettings:
    """The release's launcher."""

    image: str
    pull_policy: str
    pull_secrets: tuple[str, ...] = ()


def attended(
    name: str,
    image: tuple[str, str],
    command: Sequence[str],
    mount: dict[str, Any],
    *,
    programs: str = HELPERS,
    once: bool = False,
) -> dict[str, Any]:
    """A container beside the launcher's, in which an attendant (attendant.c) runs a static program.

    Args:
        image: its name and its pull policy.
        command: the program's name, and its arguments.
        programs: the folder of both programs.
        once: whether the program does something once; else it runs as long as the launcher's container.
    """
    container = {
        "name": name,
        "image": image[0],
        "command": [f"{programs}/attendant", "once" if once else "always", f"{programs}/{command[0]}", *command[1:]],
        "securityContext": restricted(),
        "resources": COPYING if once else IDLE,
        "volumeMounts": [{"name": HELPERS_VOLUME, "mountPath": HELPERS, "readOnly": True}, mount],
    }
    return {**container, "imagePullPolicy": image[1]} if image[1] else container


def installs_helpers() -> dict[str, Any]:
    """The lifecycle of the launcher's container in a pod with attended containers. The kubelet starts containers in
    their order, the next one when the hook of the one before has ended."""
    return {"postStart": {"exec": {"command": [f"{PROGRAMS}/attendant", "install", *_INSTALLED]}}}


def restricted() -> dict[str, Any]:
    """The securityContext that PodSecurity "restricted" requires, with a read-only root file system."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
    }


def label(name: str) -> str:
    """`name` as a DNS label. A name that is too long is cut, and gets a digest so that it stays unique."""
    if len(name) <= _LONGEST_LABEL:
        return name
    return f"{name[:52].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"
