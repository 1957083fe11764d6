"""How far a copy is, as status.migrationState.progress reports it. Pure; called by source.py.

A copy that ends soon is not reported: a short migration costs no request. The numbers are the launcher's, which the
guest's side controls: they are bounded and only shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from virt_core.objects.meta import rfc3339, seconds_since, seconds_until
from virt_core.vmi.migration_state import SUSPENDED

from virt_handler.migration.report import MigrationReport, Progress

# Seconds. Stored times have no fractions: two of these are more than one second apart.
_QUIET, _PERIOD = 3, 2
_LONGEST = 30 * 24 * 3600  # seconds; no copy is expected to take longer
# Of a guest that writes the same pages faster than they are copied, the hypervisor counts each page once in a round, so
# both rates are about the same: no end is expected unless the copy is faster by this share.
_CLEARLY = 0.25


def progress(
    stored: Mapping[str, Any], started: str | None, report: MigrationReport, now: datetime
) -> dict[str, Any] | None:
    """What is to be written now; None: nothing. `stored` is what stands there."""
    if report.progress is not Progress.COPYING or _young(started, _QUIET, now):
        return None
    if stored and _young(stored.get("timestamp"), _PERIOD, now):
        return None
    copied = report.copied
    written = {
        "timestamp": rfc3339(now),
        "totalBytes": copied.total,
        "remainingBytes": copied.remaining,
        "processedBytes": copied.processed,
        "bytesPerSecond": copied.rate,
        "dirtyBytesPerSecond": copied.dirty_rate,
    }
    if {**stored, **written, "timestamp": ""} == {**stored, "timestamp": ""}:
        return None  # virt-controller takes a copy whose numbers stay the same for stalled
    gain = copied.rate - (0 if report.mode == SUSPENDED else copied.dirty_rate)
    if gain > copied.rate * _CLEARLY and 0 < copied.remaining <= gain * _LONGEST:
        written["expectedEnd"] = rfc3339(now + timedelta(seconds=copied.remaining / gain))
    return written


def _young(moment: str | None, seconds: int, now: datetime) -> bool:
    """Whether less time has passed since then. A moment in the future is from before the clock was set back."""
    return not seconds_until(moment, now) and seconds_since(moment, now) < seconds
