"""Properties that all containers of a launcher pod share. Pure; called by the other modules of pod/."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

_LONGEST_LABEL = 63  # RFC 1123
VOLUME_PREFIX = "volume-"
"""Of a pod's volume, before the name of the VMI's: apart from the pod's own."""
VOLUME_SIDECAR = "volume"
"""Of a containerDisk's container, before the name of its volume, as in KubeVirt."""
SMALL: dict[str, Any] = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}}
"""Resources of a container that runs a small program once."""
IDLE: dict[str, Any] = {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "100m", "memory": "40Mi"}}
"""Resources of a static program that runs as long as the pod and mostly waits. The limit leaves room for the container
runtime, which starts in the same cgroup."""


@dataclass(frozen=True, slots=True)
class LauncherSettings:
    """The release's launcher."""

    image: str
    pull_policy: str
    pull_secrets: tuple[str, ...] = ()


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
