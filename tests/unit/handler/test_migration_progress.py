"""What is shown of a copy that takes long."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from kubevirt.launcher.v1 import migration_pb2 as pb
from virt_core.objects.meta import rfc3339
from virt_handler.migration.progress import progress
from virt_handler.migration.report import Copied, MigrationReport, Progress

from tests.unit.handler.planning import NOW

MIB = 1 << 20
COPYING = MigrationReport(Progress.COPYING, copied=Copied(256 * MIB, 64 * MIB, 192 * MIB, 8 * MIB, 4 * MIB))
STARTED = rfc3339(NOW - timedelta(seconds=10))


def ago(seconds: int) -> str:
    return rfc3339(NOW - timedelta(seconds=seconds))


def test_bytes_rates_and_the_expected_end_are_shown() -> None:
    assert progress({}, STARTED, COPYING, NOW) == {
        "timestamp": rfc3339(NOW),
        "totalBytes": 256 * MIB,
        "remainingBytes": 64 * MIB,
        "processedBytes": 192 * MIB,
        "bytesPerSecond": 8 * MIB,
        "dirtyBytesPerSecond": 4 * MIB,
        "expectedEnd": rfc3339(NOW + timedelta(seconds=16)),
    }


@pytest.mark.parametrize(("mode", "seconds"), [("PreCopy", None), ("Paused", 8)])
def test_no_end_is_expected_of_a_guest_that_writes_faster_unless_it_is_stopped(mode: str, seconds: int | None) -> None:
    report = MigrationReport(Progress.COPYING, mode=mode, copied=Copied(256 * MIB, 64 * MIB, 0, 8 * MIB, 9 * MIB))
    shown = progress({}, STARTED, report, NOW)
    assert shown is not None
    assert shown.get("expectedEnd") == (rfc3339(NOW + timedelta(seconds=seconds)) if seconds else None)


@pytest.mark.parametrize(("dirty_rate", "seconds"), [(0, 4), (8 * MIB, 8), (15 * MIB, None), (16 * MIB, None)])
def test_no_end_is_expected_of_a_guest_that_writes_about_as_fast_as_it_is_copied(
    dirty_rate: int, seconds: int | None
) -> None:
    # Of a guest that writes the same pages faster than they are copied, QEMU counts each page once in a round: the rate
    # that it reports is never far above that of the copy.
    copied = Copied(192 * MIB, 64 * MIB, 300 * MIB, 16 * MIB, dirty_rate)
    shown = progress({}, STARTED, MigrationReport(Progress.COPYING, copied=copied), NOW)
    assert shown is not None
    assert shown.get("expectedEnd") == (rfc3339(NOW + timedelta(seconds=seconds)) if seconds else None)


@pytest.mark.parametrize(
    ("stored", "started", "phase"),
    [
        ({}, ago(2), Progress.COPYING),
        ({}, None, Progress.COPYING),
        ({"timestamp": ago(1)}, STARTED, Progress.COPYING),
        ({}, STARTED, Progress.SWITCHED),
        ({}, STARTED, Progress.UNKNOWN),
    ],
    ids=["short", "not started", "just written", "switched", "unknown"],
)
def test_nothing_is_written_for_a_short_copy_or_more_than_once_a_second(
    stored: dict[str, Any], started: str | None, phase: Progress
) -> None:
    assert progress(stored, started, MigrationReport(phase, copied=COPYING.copied), NOW) is None


@pytest.mark.parametrize(("stored", "started"), [({}, ago(-3600)), ({"timestamp": ago(-3600)}, STARTED)])
def test_progress_is_shown_also_after_the_clock_was_set_back(stored: dict[str, Any], started: str) -> None:
    shown = progress(stored, started, COPYING, NOW)
    assert shown is not None and shown["timestamp"] == rfc3339(NOW)


def test_the_time_of_a_copy_without_progress_stays() -> None:
    """virt-controller sees by it that the copy has stalled."""
    shown = progress({}, STARTED, COPYING, NOW)
    assert shown is not None
    later = NOW + timedelta(seconds=60)
    assert progress(shown, STARTED, COPYING, later) is None
    further = MigrationReport(Progress.COPYING, copied=Copied(256 * MIB, 64 * MIB, 193 * MIB, 8 * MIB, 4 * MIB))
    written = progress(shown, STARTED, further, later)
    assert written is not None and written["timestamp"] == rfc3339(later)


def test_it_is_written_again_after_a_while() -> None:
    assert progress({"timestamp": ago(2)}, STARTED, COPYING, NOW) is not None


def test_what_a_hostile_launcher_reports_fits_into_the_status() -> None:
    most = (1 << 64) - 1
    state = pb.MigrationState(phase=pb.MIGRATION_PHASE_COPYING, total_bytes=most, remaining_bytes=most)
    state.memory_rate_bytes = state.disk_rate_bytes = 1
    shown = progress({}, STARTED, MigrationReport.from_message(state), NOW)
    assert shown is not None and "expectedEnd" not in shown
    assert max(value for value in shown.values() if isinstance(value, int)) < 1 << 63
