"""Families of samples with KubeVirt's names and types. Pure; called by the services' metrics modules.

prometheus_client expects the name of a counter to end with _total, as OpenMetrics does. Some of KubeVirt's do not, and
dashboards ask for them: `NamedCounter`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

from virt_core.metrics.histogram import Histogram

Labels: TypeAlias = Mapping[str, str]
Values: TypeAlias = Iterable[tuple[Labels, float]]
_TOTAL = "_total"


class NamedCounter(Metric):
    """A counter whose name does not end with _total. Until exposition.py writes it, it is a gauge for the library."""


def gauge(name: str, about: str, values: Values) -> Metric:
    """A number that goes up and down."""
    return _filled(Metric(name, about, "gauge"), name, values)


def counter(name: str, about: str, values: Values) -> Metric:
    """A number that only grows."""
    if name.endswith(_TOTAL):
        return _filled(Metric(name.removesuffix(_TOTAL), about, "counter"), name, values)
    return _filled(NamedCounter(name, about, "gauge"), name, values)


def _bound(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


def _filled(family: Metric, name: str, values: Values) -> Metric:
    for labels, value in values:
        family.add_sample(name, {label: text for label, text in labels.items() if text}, value)
    return family


def histogram(name: str, about: str, observed: Histogram) -> Metric:
    """How often a value was at most each of some bounds."""
    family = Metric(name, about, "histogram")
    for values, counts, total in observed:
        labels = dict(zip(observed.names, values, strict=True))
        for bound, count in zip((*observed.bounds, math.inf), counts, strict=True):
            family.add_sample(f"{name}_bucket", {**labels, "le": _bound(bound)}, count)
        family.add_sample(f"{name}_count", labels, counts[-1])
        family.add_sample(f"{name}_sum", labels, total)
    return family
