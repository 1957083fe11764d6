"""The statistics of the double of libvirtd: those that libvirt 11.3 counts of a small domain, by its names."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

_SECOND = 1_000_000_000
COUNTED: dict[str, Any] = {
    "cpu.time": 9 * _SECOND,
    "cpu.user": 2 * _SECOND,
    "cpu.system": 1 * _SECOND,
    "balloon.current": 131072,
    "balloon.maximum": 131072,
    "balloon.rss": 90000,
    "balloon.last-update": 0,
    "vcpu.current": 1,
    "vcpu.maximum": 1,
    "vcpu.0.state": 1,
    "vcpu.0.time": 5 * _SECOND,
    "vcpu.0.wait": 0,
    "vcpu.0.delay": 7,
    "net.count": 0,
    "block.count": 0,
}


class FakeStatistics:
    """Part of FakeHypervisor. Attribute: statistics, what is counted."""

    def __init__(self) -> None:
        self.statistics = dict(COUNTED)

    def read_statistics(self, in_call: AbstractContextManager[None]) -> dict[str, Any]:
        """As domain/guest.py's."""
        with in_call:
            self._require()
            return dict(self.statistics)

    def _require(self) -> Any:
        raise NotImplementedError
