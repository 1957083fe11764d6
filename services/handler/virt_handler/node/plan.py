"""The handler's marks on the Node: heartbeat and schedulable. Pure; called by heartbeat.py.

Launcher pods select the label. There are no labels about processors yet: a missing label is better than a wrong one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from virt_core.conventions.labels import HEARTBEAT, SCHEDULABLE
from virt_core.objects.meta import rfc3339


def marks(*, schedulable: bool, now: datetime) -> dict[str, Any]:
    """The merge patch, which keeps all other fields of the Node."""
    return {
        "metadata": {
            "labels": {SCHEDULABLE: "true" if schedulable else "false"},
            "annotations": {HEARTBEAT: rfc3339(now)},
        }
    }
