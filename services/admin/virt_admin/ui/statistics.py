"""A guest's statistics, read from the metrics of its node's virt-handler. Pure; called by calls.py.

Names and labels are KubeVirt's. Counters stay counters: the page makes rates of two readings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

_PREFIX = "kubevirt_vmi_"
_LINE = re.compile(r"(?P<name>\w+)\{(?P<labels>.*)\} (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_CPU = "cpu_usage_seconds_total"
_AVAILABLE, _USABLE = "memory_available_bytes", "memory_usable_bytes"
"""Absent without a balloon or its driver."""

_RESIDENT = "memory_resident_bytes"
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
    memory, meaning = _memory(found)
    return Statistics(
        cpu_seconds=found.get(_CPU),
        memory_bytes=memory,
        memory_meaning=meaning,
        received_bytes=found.get(_RECEIVED),
        sent_bytes=found.get(_SENT),
    )


def _memory(found: Mapping[str, float]) -> tuple[float | None, str]:
    """How much is used, and what that means."""
    if _AVAILABLE in found and _USABLE in found:
        return max(found[_AVAILABLE] - found[_USABLE], 0.0), "as the guest sees it"
    return (found[_RESIDENT], "resident on the node") if _RESIDENT in found else (None, "")


def _values(text: str, namespace: str, name: str) -> Iterator[tuple[str, float]]:
    for line in text.splitlines():
        # Few lines are of one guest: the cheap test first.
        if not line.startswith(_PREFIX) or f'name="{name}"' not in line:
            continue
        match = _LINE.match(line)
        labels = dict(_LABEL.findall(match["labels"])) if match else {}
        if match and (labels.get("namespace"), labels.get("name")) == (namespace, name):
            yield match["name"].removeprefix(_PREFIX), float(match["value"])
