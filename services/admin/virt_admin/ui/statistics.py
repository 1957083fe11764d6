"""A guest's statistics, read from the metrics of its node's virt-handler. Pure; called by calls.py.

Names and labels are KubeVirt's. Counters stay counters: the page makes rates of two readings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

_PREFIX = "kubevirt_vmi_"
_LINE = re.compile(r"(?P<name>\w+)\{(?P<labels>.*)\} (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_CPU = "cpu_usage_seconds_total"
_MEMORY = {"memory_used_bytes": "as the guest sees it", "memory_resident_bytes": "resident on the node"}
"""Which one is shown, the first that there is, and what it means."""

_RECEIVED, _SENT = "network_receive_bytes_total", "network_transmit_bytes_total"


class Statistics(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One reading; None is what virt-handler does not show."""

    cpu_seconds: float | None
    memory_bytes: float | None
    memory_meaning: str
    received_bytes: float | None
    """Of all interfaces."""

    sent_bytes: float | None


def statistics(text: str, namespace: str, name: str) -> Statistics:
    """The guest's, from Prometheus' text format."""
    found: dict[str, float] = {}
    for metric, value in _values(text, namespace, name):
        found[metric] = found.get(metric, 0.0) + value
    memory = next((metric for metric in _MEMORY if metric in found), "")
    return Statistics(
        cpu_seconds=found.get(_CPU),
        memory_bytes=found.get(memory),
        memory_meaning=_MEMORY.get(memory, ""),
        received_bytes=found.get(_RECEIVED),
        sent_bytes=found.get(_SENT),
    )


def _values(text: str, namespace: str, name: str) -> Iterator[tuple[str, float]]:
    for line in text.splitlines():
        # Few lines are of one guest: the cheap test first.
        if not line.startswith(_PREFIX) or f'name="{name}"' not in line:
            continue
        match = _LINE.match(line)
        labels = dict(_LABEL.findall(match["labels"])) if match else {}
        if match and (labels.get("namespace"), labels.get("name")) == (namespace, name):
            yield match["name"].removeprefix(_PREFIX), float(match["value"])
