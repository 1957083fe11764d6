"""A guest moves to another node while it is used: it goes on, and its Service follows it."""

from __future__ import annotations

import pytest

from tests.e2e.cluster import apply, kubectl, until, wait
from tests.e2e.guests import observed, running
from tests.e2e.migrations import asked, migratable, migrate, migration

pytestmark = pytest.mark.parallel
_MOVES = 2


def test_a_guest_moves_there_and_back_and_answers_through_its_service() -> None:
    with running(migratable("mover")) as (guest,), asked("mover") as answers:
        first = guest.vmi["status"]["nodeName"]
        for number in range(_MOVES):
            status = migrate(f"mover-{number}", "mover")
            assert status["phase"] == "Succeeded", status["conditions"]
        assert guest.vmi["status"]["nodeName"] == first
        until(lambda: len(guest.vmi["status"]["activePods"]) == 1, "the last source to leave activePods")
        assert guest.vmi["metadata"]["labels"]["kubevirt.io/nodeName"] == first
        moved = answers().count
        until(lambda: answers().count > moved, "the Service to follow the guest")
        seen = answers()
        # How long it is silent is for the benchmark: two processors emulate other guests meanwhile.
        print(f"{seen.count} answers of {len(seen.boots)} boot, longest silence {seen.longest_silence:.2f} s")
        assert len(seen.boots) == 1
        wait("vmi", guest.name, "condition=Ready")
        assert guest.phase == "Running"


def test_a_migration_that_is_deleted_leaves_the_guest_where_it_is() -> None:
    with running(migratable("stayer")) as (guest,), observed(guest) as ticks:
        node = guest.vmi["status"]["nodeName"]
        apply(migration("stayer", "stayer"))
        kubectl("delete", "vmim", "stayer", "--wait", "--timeout=180s")
        assert guest.vmi["status"]["nodeName"] == node
        until(lambda: len(guest.vmi["status"]["activePods"]) == 1, "the target to leave activePods")
        assert len(ticks()["stayer"].boots) == 1 and guest.phase == "Running"
