"""What the soak's report says: tests/support/soak_table.py."""

from __future__ import annotations

from collections import Counter

from tests.support.flatness import Sample
from tests.support.snapshots import Snapshot
from tests.support.soak_table import Report, by_kind


def life(minutes: int, growth: float = 0.0) -> list[Sample]:
    return [Sample(60.0 * age, 0, 50, 40 + growth * age, 30, 4) for age in range(minutes + 1)]


def test_a_process_that_grows_is_named_with_its_growth_and_the_limit() -> None:
    lives = by_kind([("virt-api: virt_api", life(20, 1.0)), ("virt-handler: virt_handler", life(20))])
    report = Report("Soak", lives)
    assert report.growing == ["virt-api: virt_api: anonymous MiB +60.0 (at most 9) an hour"]
    assert (
        "| virt-api: virt_api | 1 | 1 | 20 | 50.0 → 50.0 | 40.0 → 60.0 | +60.0 (at most 9) | 30 → 30" in report.text()
    )


def test_the_memory_of_a_guest_is_its_own() -> None:
    report = Report("Soak", by_kind([("virt-launcher: qemu-system-x86_64", life(20, 1.0))]))
    assert report.growing == []
    assert "| the guest's |" in report.text()


def test_processes_of_one_kind_are_one_row() -> None:
    report = Report("Soak", by_kind([("virt-api: virt_api", life(age)) for age in (3, 17, 16)]))
    assert "| virt-api: virt_api | 3 | 2 | 17 |" in report.text()


def test_what_is_left_is_counted_and_named() -> None:
    before, after = (Snapshot.of({"links of node1": names}) for names in (["lo"], ["lo", "tap0"]))
    report = Report("Soak", before=before, done=Counter(migrate=3, create=2))
    assert "| links of node1 | 1 | ? |" in report.text()
    report.after = after
    assert report.differences == ["links of node1: +1 tap0"]
    assert "| links of node1 | 1 | 2 |\n\n- links of node1: +1 tap0" in report.text()
    assert "Done: create 2, migrate 3." in report.text()
