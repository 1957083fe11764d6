"""A guest that changes its memory faster than the link copies it, by what its migration may do about it.

With the newer QEMU: the older one copies the memory of a guest that it emulates in one pass (limits.py), and stops it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from kubevirt.launcher.v1 import migration_pb2 as pb
from kubevirt.launcher.v1 import state_pb2
from localcluster.base_image import LAUNCHER_SUITES
from virt_core.objects.meta import rfc3339
from virt_handler.migration.progress import progress
from virt_handler.migration.report import MigrationReport

from tests.integration.launcher.domain_events import running_times
from tests.integration.launcher.guest_shell import shell
from tests.integration.launcher.handlers import Handlers
from tests.integration.launcher.images import Images
from tests.integration.launcher.launcher_pair import MIGRATION, LauncherPair, Side

pytestmark = pytest.mark.slow

COPYING, COMMITTED, ABORTED = pb.MIGRATION_PHASE_COPYING, pb.MIGRATION_PHASE_COMMITTED, pb.MIGRATION_PHASE_ABORTED
PRE_COPY, PAUSED = pb.MIGRATION_MODE_PRE_COPY, pb.MIGRATION_MODE_PAUSED
RUNNING = state_pb2.MACHINE_PHASE_RUNNING
MIB = 1 << 20
LINK = 16 * MIB  # bytes per second
WRITER = b"""\
dd if=/dev/urandom of=/tmp/from bs=1M count=16 2>/dev/null; n=0; while :; do \
dd if=/tmp/from of=/tmp/to bs=1M conv=notrunc 2>/dev/null; n=$((n+1)); echo $n >/tmp/written; done &
"""
"""Writes the same 16 MiB again and again, as fast as it can."""
OVER_THE_LIMIT = r"Live migration is not completed after \d+ seconds and has been aborted"


@pytest.fixture(scope="module")
def images(images_of: Callable[[str], Images]) -> Images:
    """Of the newest Debian release, for both sides."""
    return images_of(LAUNCHER_SUITES[-1])


@dataclass
class Reports:
    """The states of a migration, and the progress that a handler makes of them."""

    states: list[pb.MigrationState] = field(default_factory=list)
    progress: list[dict[str, Any]] = field(default_factory=list)

    def until_the_end(self, state: pb.MigrationState) -> bool:
        now = datetime.now(UTC)
        self.states.append(state)
        started = rfc3339(state.started.ToDatetime(UTC))
        shown = progress(self.progress[-1] if self.progress else {}, started, MigrationReport.from_message(state), now)
        if shown is not None:
            self.progress.append(shown)
        return state.phase in (COMMITTED, ABORTED)

    def copying(self, mode: pb.MigrationMode.ValueType) -> list[pb.MigrationState]:
        """Those that say how far it is."""
        return [state for state in self.states if state.phase == COPYING and state.mode == mode and state.total_bytes]


async def migrate(pair: LauncherPair, link: int = LINK, limit: int = 0, **options: bool) -> Reports:
    """Move a guest that writes; `limit` is in seconds. Returns what was reported until the end."""
    source = pair.source
    machine = source.machine(memory_bytes=192 * MIB)
    machine.kernel_boot.command_line += " ticks=off"
    await source.start_machine(machine)
    await source.wait_for_console(b"guest-demo login: ", b"ready")
    await source.type(WRITER)
    await source.type(b"while [ ! -e /tmp/written ]; do usleep 100000; done; echo writes-$((6*7))\n")
    await source.wait_for_console(b"writes-", b"42")
    handlers = Handlers(MIGRATION, source, pair.target, machine)
    prepared = await handlers.prepare()
    timeout = Duration(seconds=limit) if limit else None
    await handlers.start(prepared, bandwidth_bytes_per_second=link, completion_timeout=timeout, **options)
    reports = Reports()
    await handlers.until(reports.until_the_end)
    if reports.states[-1].phase == ABORTED:
        await handlers.abort()
        assert await pair.target.exit_status() == 0
    return reports


async def writes(side: Side) -> None:
    """The guest runs, and goes on to write."""
    await side.wait_for_phase(RUNNING)
    line = b"n=$(cat /tmp/written); while [ $(cat /tmp/written) = $n ]; do usleep 100000; done; echo more"
    assert await shell(side, line) == b"more"


def never_both(pair: LauncherPair) -> None:
    source, target = (running_times(pair.events[side.name].all) for side in pair.sides)
    assert all(end <= began for _, end in source for began, _ in target), (source, target)


async def test_plain_copy_never_ends_and_is_aborted_at_the_limit_with_the_guest_unharmed(pair: LauncherPair) -> None:
    reports = await migrate(pair, limit=20)
    last = reports.states[-1]
    assert (last.phase, last.mode, last.canceled) == (ABORTED, PRE_COPY, False)
    assert re.fullmatch(OVER_THE_LIMIT, last.reason)
    copying = reports.copying(PRE_COPY)
    assert copying[-1].processed_bytes > copying[-1].total_bytes, "nothing is copied again"
    await writes(pair.source)
    assert running_times(pair.events[pair.target.name].all) == []
    # Bytes and rates at most once a second, and no end after the first round.
    moments = [datetime.fromisoformat(shown["timestamp"]) for shown in reports.progress]
    assert min(later - earlier for earlier, later in pairwise(moments)) > timedelta(seconds=1)
    first, last_shown = reports.progress[0], reports.progress[-1]
    assert "expectedEnd" in first and "expectedEnd" not in last_shown
    assert 0 < last_shown["remainingBytes"] < last_shown["totalBytes"] < last_shown["processedBytes"]
    assert 0 < last_shown["bytesPerSecond"] < 2 * LINK
    assert last_shown["dirtyBytesPerSecond"] > last_shown["bytesPerSecond"] / 2


async def test_auto_converge_slows_the_guest_down_until_it_is_copied(pair: LauncherPair) -> None:
    reports = await migrate(pair, limit=85, auto_converge=True)
    last = reports.states[-1]
    assert (last.phase, last.mode) == (COMMITTED, PRE_COPY), last
    await writes(pair.target)
    never_both(pair)


async def test_auto_converge_that_takes_too_long_is_aborted_at_the_limit(pair: LauncherPair) -> None:
    reports = await migrate(pair, limit=6, auto_converge=True)
    assert reports.states[-1].phase == ABORTED
    assert re.fullmatch(OVER_THE_LIMIT, reports.states[-1].reason)
    await writes(pair.source)
    never_both(pair)


async def test_guest_that_may_be_disrupted_is_stopped_at_the_limit_and_moves(pair: LauncherPair) -> None:
    reports = await migrate(pair, limit=8, allow_workload_disruption=True)
    last = reports.states[-1]
    assert (last.phase, last.mode) == (COMMITTED, PAUSED), last
    stopped = reports.copying(PAUSED)
    assert stopped[-1].processed_bytes > stopped[0].processed_bytes
    await writes(pair.target)
    never_both(pair)


async def test_older_qemu_stops_a_guest_that_it_emulates_after_one_pass(images_of: Callable[[str], Images]) -> None:
    older = images_of(LAUNCHER_SUITES[0])
    pair = LauncherPair(older, older)
    try:
        await pair.bring_up()
        reports = await migrate(pair, limit=60)
        last = reports.states[-1]
        assert (last.phase, last.mode) == (COMMITTED, PRE_COPY), last
        assert reports.copying(PRE_COPY)[-1].processed_bytes <= last.total_bytes
        await writes(pair.target)
        never_both(pair)
    finally:
        await pair.remove()


async def test_stopped_guest_runs_on_if_twice_the_limit_is_not_enough_either(pair: LauncherPair) -> None:
    reports = await migrate(pair, link=MIB, limit=5, allow_workload_disruption=True)
    last = reports.states[-1]
    assert (last.phase, last.mode) == (ABORTED, PAUSED), last
    assert re.fullmatch(OVER_THE_LIMIT, last.reason)
    await writes(pair.source)
    assert running_times(pair.events[pair.target.name].all) == []
