"""What the containers of a launcher pod have in common. Pure; called by pod/template.py and its pod_*.py."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

_LONGEST_LABEL = 63  # RFC 1123
SMALL: dict[str, Any] = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}}
"""Resources of a container that runs a small program once."""
IDLE: dict[str, Any] = {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "100m", "memory": "40Mi"}}
"""Of a static program that lives as long as the pod and mostly waits; the limit leaves room for the runtime's own start
in the cgroup."""


@dataclass(frozen=True, slots=True)
class LauncherSettings:
    """The release's launcher."""

    image: str
    pull_policy: str
    pull_secrets: tuple[str, ...] = ()


def restricted() -> dict[str, Any]:
    """What PodSecurity "restricted" asks of a container, and a root file system that nobody writes to."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
    }


def label(name: str) -> str:
    """`name` as a DNS label: one that is too long is cut, and told from others that begin the same."""
    if len(name) <= _LONGEST_LABEL:
        return name
    return f"{name[:52].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"
