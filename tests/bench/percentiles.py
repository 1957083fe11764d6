"""Percentiles of a few measured values, and how a table shows them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """By nearest rank: a value that was measured."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def summary(values: Sequence[float]) -> dict[str, float]:
    """P50, P99 and the largest."""
    return {
        "p50": round(percentile(values, 50), 4),
        "p99": round(percentile(values, 99), 4),
        "max": round(max(values), 4),
    }


def milliseconds(seconds: dict[str, float]) -> str:
    """A summary as one cell."""
    return "  ".join(f"{name} {value * 1000:7.1f}" for name, value in seconds.items())
