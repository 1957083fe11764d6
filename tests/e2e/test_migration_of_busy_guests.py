"""A guest that changes its memory faster than it may be copied: what its owner is told, and how it ends, by policy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.e2e.cluster import apply, get, kubectl, process, until
from tests.e2e.guests import Guest, disk_manifest, running
from tests.e2e.migrations import launchers, migrate, migration, phase, policy, state

pytestmark = [pytest.mark.slow, pytest.mark.parallel]

NAME = "busy"
OVER_THE_LIMIT = r"Live migration is not completed after \d+ seconds and has been aborted"
LINK = 8 << 20  # bytes per second
WRITER = """#!/bin/sh
dd if=/dev/urandom of=/tmp/from bs=1M count=16 2>/dev/null
echo "busy: writes" >/dev/console
while :; do dd if=/tmp/from of=/tmp/to bs=1M conv=notrunc 2>/dev/null; done
"""


@pytest.fixture(scope="module")
def guest(suite: None) -> Iterator[Guest]:
    """It writes the same 16 MiB again and again, as fast as it can."""
    body = disk_manifest(NAME, {"seed": {"cloudInitNoCloud": {"userData": WRITER}}})
    body["metadata"]["labels"] = {"moves": NAME}
    body["spec"]["domain"]["memory"]["guest"] = "192Mi"
    with running(body) as (only,):
        if _qemu(only) < (9, 0):
            pytest.skip("this QEMU copies an emulated guest in one pass: make install without LAUNCHER_BASE")
        until(lambda: only.condition("LiveMigratable").get("status") == "True", "LiveMigratable", 10)
        yield only


def _qemu(guest: Guest) -> tuple[int, ...]:
    """The version of the launcher's QEMU."""
    argv = ("exec", guest.pod["metadata"]["name"], "-c", "compute", "--", "/usr/bin/qemu-system-x86_64", "--version")
    found = re.search(r"version (\d+)\.(\d+)", kubectl(*argv))
    assert found is not None
    return int(found[1]), int(found[2])


def test_a_plain_copy_is_given_up_at_the_limit_and_tells_how_far_it_was(guest: Guest) -> None:
    node, pod, pid = guest.vmi["status"]["nodeName"], guest.pod["metadata"]["uid"], guest.qemu_pid()
    shown: dict[str, dict[str, Any]] = {}

    def over() -> bool:
        written = get("vmim", "plain").get("status", {}).get("migrationState", {}).get("progress", {})
        if written:
            shown[written["timestamp"]] = written
        return phase("plain") in ("Succeeded", "Failed")

    with policy(NAME, bandwidthPerMigration="8Mi", completionTimeoutPerGiB=25):
        apply(migration("plain", NAME))
        until(over, "the end", 60)
    assert phase("plain") == "Failed"
    left = state(guest)
    assert re.fullmatch(OVER_THE_LIMIT, left["failureReason"])
    assert (left["mode"], left["failed"]) == ("PreCopy", True)
    assert len(shown) >= 3
    moments = [datetime.fromisoformat(moment) for moment in sorted(shown)]
    assert min(later - earlier for earlier, later in pairwise(moments)) > timedelta(seconds=1)
    last = shown[max(shown)]
    assert last["processedBytes"] > 0 and 0 < last["remainingBytes"] <= last["totalBytes"]
    # QEMU counts each page once in a round: it does not report that the guest writes still faster.
    assert 0 < last["bytesPerSecond"] < 2 * LINK and last["dirtyBytesPerSecond"] > LINK / 2
    assert "expectedEnd" not in last, "none is in sight"
    until(lambda: len(launchers(NAME)) == 1, "the target pod to end", 15)
    qemu = process(pod, r"^\S*qemu-system")
    assert guest.vmi["status"]["nodeName"] == node and qemu is not None and qemu.pid == pid
    assert guest.phase == "Running" and not guest.paused


def test_a_guest_that_is_slowed_down_moves(guest: Guest) -> None:
    node = guest.vmi["status"]["nodeName"]
    with policy(NAME, bandwidthPerMigration="8Mi", completionTimeoutPerGiB=120, allowAutoConverge=True):
        status = migrate("slowed", NAME, 140)
    assert status["phase"] == "Succeeded", status
    assert status["migrationState"]["mode"] == "PreCopy"
    assert guest.vmi["status"]["nodeName"] != node and guest.phase == "Running" and not guest.paused


def test_a_guest_that_may_be_disrupted_is_stopped_at_the_limit_and_moves(guest: Guest) -> None:
    node = guest.vmi["status"]["nodeName"]
    with policy(NAME, bandwidthPerMigration="8Mi", completionTimeoutPerGiB=20, allowWorkloadDisruption=True):
        status = migrate("stopped", NAME)
    assert status["phase"] == "Succeeded", status
    assert status["migrationState"]["mode"] == "Paused"
    assert guest.vmi["status"]["nodeName"] != node and guest.phase == "Running" and not guest.paused
