"""Waits until a part of the cluster answers, and reports the part that does not. Used for processes without a readiness
notification."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from localcluster.progress import PartFailed, say

PAUSE_SECONDS = 0.1


def until(
    part: str, ready: Callable[[], bool], seconds: float, log: Path, is_alive: Callable[[], object] = lambda: True
) -> None:
    """Return when ready() is true. Raises PartFailed if the process ends first, or after `seconds`."""
    began = time.monotonic()
    while not ready():
        if not is_alive():
            raise PartFailed(part, "ended instead of becoming ready", log)
        if time.monotonic() - began > seconds:
            raise PartFailed(part, f"not ready after {seconds:.0f} s", log)
        time.sleep(PAUSE_SECONDS)
    say(f"{part} ready after {time.monotonic() - began:.1f} s")
