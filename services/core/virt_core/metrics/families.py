"""Families of samples with KubeVirt's names and types. Pure; called by the services' metrics modules.

prometheus_client expects the name of a counter to end with _total, as OpenMetrics does. Some of KubeVirt's do not, and
dashboards ask for them: `NamedCounter`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from prometheus_client.metrics_core import Metric

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


def _filled(family: Metric, name: str, values: Values) -> Metric:
    for labels, value in values:
        family.add_sample(name, dict(labels), value)
    return family
