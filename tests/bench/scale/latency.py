"""Histograms of Prometheus' text format, and their quantiles as Prometheus computes them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

Buckets = dict[float, float]
"""By upper bound, how many observations there were up to it."""

_LABEL = re.compile(r'(\w+)="([^"]*)"')


def buckets(text: str, metric: str) -> dict[str, Buckets]:
    """Of that metric, by its label `name`."""
    found: dict[str, Buckets] = {}
    for line in text.splitlines():
        if not line.startswith(f"{metric}_bucket{{"):
            continue
        series, _, value = line.rpartition(" ")
        labels = dict(_LABEL.findall(series))
        found.setdefault(labels["name"], {})[float(labels["le"])] = float(value)
    return found


def since(before: Mapping[str, Buckets], after: Mapping[str, Buckets]) -> dict[str, Buckets]:
    """What has come in between."""
    return {
        name: {bound: count - before.get(name, {}).get(bound, 0.0) for bound, count in now.items()}
        for name, now in after.items()
    }


def quantile(found: Buckets, part: float) -> float:
    """histogram_quantile: linear within a bucket; 0 without observations, of the last bucket its lower bound."""
    ordered = sorted(found.items())
    rank = part * ordered[-1][1] if ordered else 0.0
    lower, below = 0.0, 0.0
    if not rank:
        return 0.0
    for bound, count in ordered:
        if count >= rank:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return lower
