"""What is written on the Node: that its handler lives, and whether machines may come. Pure; called by heartbeat.py.

Launcher pods select the label. Nothing is told of processors yet: no label is better than one that is not true.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from virt_core.conventions.labels import HEARTBEAT, SCHEDULABLE
from virt_core.objects.meta import rfc3339


def marks(*, schedulable: bool, now: datetime) -> dict[str, Any]:
    """The merge patch: it leaves alone whatever else the Node carries."""
    return {
        "metadata": {
            "labels": {SCHEDULABLE: "true" if schedulable else "false"},
            "annotations": {HEARTBEAT: rfc3339(now)},
        }
    }
