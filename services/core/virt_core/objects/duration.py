"""Durations as Go writes them ("24h", "5m0s"). Pure; read in manifests by virt-operator, in requests by virt-api."""

from __future__ import annotations

import re
from datetime import timedelta

_PARTS = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_MOST = timedelta(days=36500)
_LONGEST = 64  # characters


def parse_duration(text: str) -> timedelta | None:
    """The duration; None if `text` is not a duration, or it is negative or longer than a century."""
    if text == "0":
        return timedelta(0)
    parts = _PARTS.findall(text[: _LONGEST + 1])
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return timedelta(seconds=seconds) if seconds <= _MOST.total_seconds() else None


def go_duration(duration: timedelta) -> str:
    """The duration in Go's notation, in whole seconds: "24h0m0s"."""
    seconds = int(duration.total_seconds())
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours}h{minutes}m{seconds % 60}s" if hours else f"{minutes}m{seconds % 60}s" if minutes else f"{seconds}s"
