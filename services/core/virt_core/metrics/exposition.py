"""Families as Prometheus' text format, and the process's own metrics. Imported by measured.py when somebody asks first.

The registry is one of our own for each answer: the library's global one would collect what other libraries put there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from virt_core.metrics.families import NamedCounter


class _Collected(Collector):
    """Families that have been collected already."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def text(families: Iterable[Metric]) -> bytes:
    """The text of all families that have a sample."""
    shown = [family for family in families if family.samples]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(shown))
    written = generate_latest(registry)
    for family in shown:
        if isinstance(family, NamedCounter):
            head = f"# TYPE {family.name} "
            written = written.replace(f"{head}gauge\n".encode(), f"{head}counter\n".encode(), 1)
    return written


def process() -> list[Metric]:
    """Memory, CPU time and descriptors of this process, under the names that every Prometheus client has."""
    return list(ProcessCollector(registry=None).collect())
