"""What the containers of a launcher pod have in common. Pure; called by pod_template.py and its pod_*.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SMALL: dict[str, Any] = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}}
"""Resources of a container that runs a small program once, or waits."""


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
