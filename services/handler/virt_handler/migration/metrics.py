"""virt-handler's metrics of the copies that it watches, with KubeVirt's names. Filled by reconcile.py, read through
app.py when somebody asks.

Numbers are the launcher's, which the guest's side controls: report.py bounds them, and they are only shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from virt_core.kube.reflector import Key

from virt_handler.migration.report import Copied, MigrationReport, Progress

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

# Seconds for which the last numbers of a copy are shown after its end: Prometheus looks less often than a copy lasts.
_SHOWN = 90.0
_TOTAL = "The total Guest OS data to be migrated to the new VM."
_RATE = "The rate at which the memory is being transferred."
# Name, type, description, and field of Copied. Two have names of older releases, which dashboards ask for.
_METRICS = (
    ("data_bytes_total", "counter", _TOTAL, "total"),
    ("data_total_bytes", "counter", _TOTAL, "total"),
    ("data_remaining_bytes", "gauge", "The remaining guest OS data to be migrated to the new VM.", "remaining"),
    ("data_processed_bytes", "gauge", "The total Guest OS data processed and migrated to the new VM.", "processed"),
    ("dirty_memory_rate_bytes", "gauge", "The rate of memory being dirty in the Guest OS.", "dirty_rate"),
    ("memory_transfer_rate_bytes", "gauge", _RATE, "memory_rate"),
    ("disk_transfer_rate_bytes", "gauge", _RATE, "memory_rate"),
)


@dataclass(frozen=True, slots=True)
class _Copy:
    copied: Copied
    ended: float | None = None


class Copies:
    """The copies from this node, one for each VirtualMachineInstance."""

    def __init__(self, node: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._node = node
        self._clock = clock
        self._copies: dict[Key, _Copy] = {}

    def see(self, vmi: Key, report: MigrationReport | None) -> None:
        """The source's launcher reports how far its migration is; None: it does not answer."""
        if report is None or report.copied.total == 0:
            return
        ended = None if report.progress is Progress.COPYING else self._clock()
        self._forget_old()  # also where nobody asks
        self._copies[vmi] = _Copy(report.copied, ended)

    def end(self, vmi: Key) -> None:
        """The migration, or its source's pod, is gone."""
        known = self._copies.get(vmi)
        if known is not None and known.ended is None:
            self._copies[vmi] = replace(known, ended=self._clock())

    def families(self) -> list[Metric]:
        """All metrics."""
        self._forget_old()
        return [self._family(*metric) for metric in _METRICS]

    def _forget_old(self) -> None:
        now = self._clock()
        shown = {vmi: copy for vmi, copy in self._copies.items() if copy.ended is None or now - copy.ended < _SHOWN}
        self._copies = shown

    def _family(self, name: str, kind: str, about: str, field: str) -> Metric:
        from virt_core.metrics.families import counter, gauge

        values = [
            ({"namespace": namespace, "name": name, "node": self._node}, getattr(copy.copied, field))
            for (namespace, name), copy in sorted(self._copies.items())
        ]
        return (counter if kind == "counter" else gauge)(f"kubevirt_vmi_migration_{name}", about, values)
