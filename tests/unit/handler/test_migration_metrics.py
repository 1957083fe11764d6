"""Prometheus sees the copies from a node."""

from __future__ import annotations

from typing import Any

import pytest
from kubevirt.launcher.v1 import migration_pb2 as pb
from virt_core.metrics import exposition
from virt_handler.migration.metrics import Copies
from virt_handler.migration.report import MigrationReport

WEB = ("shop", "web")
COUNTS: dict[str, int] = {
    "total_bytes": 700,
    "remaining_bytes": 100,
    "processed_bytes": 600,
    "memory_rate_bytes": 50,
    "disk_rate_bytes": 7,
    "dirty_rate_bytes": 5,
}


def report(phase: str = "COPYING", **counts: Any) -> MigrationReport:
    return MigrationReport.from_message(pb.MigrationState(phase=f"MIGRATION_PHASE_{phase}", **(counts or COUNTS)))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def copies(clock: Clock) -> Copies:
    return Copies("node1", clock)


def shown(copies: Copies) -> dict[str, float]:
    """By name without a prefix, and the guest's name."""
    samples = [sample for family in copies.families() for sample in family.samples]
    return {
        f"{sample.name.removeprefix('kubevirt_vmi_migration_')} {sample.labels['name']}": sample.value
        for sample in samples
    }


def test_a_copy_is_shown_in_kubevirts_metrics(copies: Copies) -> None:
    copies.see(WEB, report())
    expected = {
        "data_bytes_total": 700,
        "data_total_bytes": 700,
        "data_remaining_bytes": 100,
        "data_processed_bytes": 600,
        "dirty_memory_rate_bytes": 5,
        "memory_transfer_rate_bytes": 50,
        "disk_transfer_rate_bytes": 50,
    }
    assert shown(copies) == {f"{name} web": value for name, value in expected.items()}
    text = exposition.text(copies.families()).decode().splitlines()
    assert 'kubevirt_vmi_migration_data_bytes_total{name="web",namespace="shop",node="node1"} 700.0' in text
    types = {
        line.split()[2].removeprefix("kubevirt_vmi_migration_"): line.split()[3] for line in text if "TYPE" in line
    }
    counters = {name for name, kind in types.items() if kind == "counter"}
    assert types.keys() == expected.keys() and counters == {"data_bytes_total", "data_total_bytes"}


@pytest.mark.parametrize("phase", ["COMMITTED", "ABORTED"])
def test_a_copy_that_has_ended_is_shown_until_prometheus_has_looked(copies: Copies, clock: Clock, phase: str) -> None:
    copies.see(WEB, report())
    clock.now += 1000
    assert len(shown(copies)) == 7, "a copy may take long"
    copies.see(WEB, report(phase))
    clock.now += 60
    assert len(shown(copies)) == 7
    clock.now += 60
    assert shown(copies) == {}


def test_a_copy_whose_source_is_gone_has_ended(copies: Copies, clock: Clock) -> None:
    copies.see(WEB, report())
    copies.see(WEB, None)
    copies.end(WEB)
    copies.end(("shop", "other"))
    clock.now += 120
    assert shown(copies) == {}


def test_old_copies_are_forgotten_also_where_nobody_asks(copies: Copies, clock: Clock) -> None:
    for number in range(100):
        copies.see(("shop", f"vm{number}"), report("COMMITTED"))
        clock.now += 30
    assert len(copies._copies) <= 4


def test_guests_are_side_by_side_and_each_has_one_copy(copies: Copies) -> None:
    copies.see(WEB, report("ABORTED"))
    copies.see(("shop", "db"), report())
    copies.see(WEB, report(total_bytes=9))
    found = {name: value for name, value in shown(copies).items() if "data_bytes_total" in name}
    assert list(found.values()) == [700, 9]


def test_a_migration_that_has_not_begun_is_not_shown(copies: Copies) -> None:
    copies.see(WEB, report("PREPARED", total_bytes=0))
    assert shown(copies) == {}
