"""From the newest recorded release to this tree and back, both from their own images, while guests tick on.

The suite is of the recorded release before the first test, however it was installed. `make test` goes up by the
operator's manifest and back by the KubeVirt object's imageTag; `make test-all` with guests of each kind, under load, by
every way that users have (test_every_way_between_releases.py).
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

import pytest

from tests.e2e.builds import (
    NEXT,
    RECORDED,
    TODAY,
    by_image_tag,
    by_manifest,
    condition,
    pull,
    reached,
    suite,
)
from tests.e2e.cluster import nodes, until
from tests.e2e.guests import MAX_GAP, Guest, manifest, observed, running, undisturbed
from tests.e2e.kinds import guest_of
from tests.e2e.migrations import asked, migratable
from tests.e2e.travelling import UP, launcher_of, left_alone, set_workload_updates, travel
from tests.e2e.upgrade_requests import finalize, refused
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.upgrade, pytest.mark.usefixtures("images_of_both_releases", "back_to_today")]

REPLACED_WITHIN = 2 * PATIENCE  # for a guest's launcher


def has_launcher_of(guest: Guest, tag: str) -> bool:
    """Whether the guest has one launcher, of that build."""
    return launcher_of(guest).endswith(f":{tag}")


def moved(tag: str, *guests: Guest) -> None:
    """Outdated launchers are replaced: these guests get one of that build."""
    assert not any(has_launcher_of(guest, tag) for guest in guests)
    began = time.monotonic()
    set_workload_updates(["LiveMigrate"])
    until(lambda: all(has_launcher_of(guest, tag) for guest in guests), f"launchers of {tag}", REPLACED_WITHIN)
    set_workload_updates([])
    print(f"{len(guests)} guests have launchers of {tag} after {time.monotonic() - began:.1f} s")
    assert {guest.phase for guest in guests} == {"Running"}


def check_way_back() -> None:
    """The recorded release is the one to go back to, and nothing stands in the way."""
    back = suite()["status"]["upgrade"]["wayBack"]
    print(json.dumps(back)[:2000])
    assert (back["version"], back["release"]) == (RECORDED.tag, RECORDED.version)
    assert back["machineTypes"] == {"q35": "pc-q35-7.2"}, "the newest that QEMU of both releases knows"
    until(lambda: condition("Finalized").get("reason") == "Soaking", "the soak to begin")
    assert suite()["status"]["upgrade"]["wayBack"].get("ledger", []) == []


@pytest.mark.usefixtures("recorded_release")
def test_guests_tick_from_the_recorded_release_to_this_tree_and_back() -> None:
    first, second = nodes()
    with ExitStack() as stack:
        stay = [left_alone(manifest("old-bios", node=first)), left_alone(guest_of("uefi", "old-uefi", second))]
        *old, moves = stack.enter_context(running(*stay, migratable("moves")))
        ticks, answers = [stack.enter_context(observed(*old))], [stack.enter_context(asked(moves.name))]
        pids = {guest.name: guest.qemu_pid() for guest in old}
        travel(by_manifest, TODAY, UP)
        check_way_back()
        stay = [left_alone(manifest("new-bios", node=first)), left_alone(guest_of("uefi", "new-uefi", second))]
        *new, young = stack.enter_context(running(*stay, migratable("young")))
        assert young.vmi["status"]["machine"]["type"] == "pc-q35-7.2", "it can go back"
        moved(TODAY.tag, moves)
        ticks.append(stack.enter_context(observed(*new, name="observer-new")))
        answers.append(stack.enter_context(asked(young.name)))
        pids |= {guest.name: guest.qemu_pid() for guest in new}
        travel(by_image_tag, RECORDED, UP[::-1])
        moved(RECORDED.tag, moves, young)
        time.sleep(2 * MAX_GAP)  # a gap must have had the time to show
        for guest, read in zip((moves, young), answers, strict=True):
            print(f"{guest.name}: {read().count} answers, longest silence {read().longest_silence:.2f} s")
            assert len(read().boots) == 1
        seen = {name: tick for read in ticks for name, tick in read().items()}
        undisturbed(seen, [*old, *new], pids)


@pytest.mark.slow
@pytest.mark.usefixtures("recorded_release")
def test_guests_tick_while_a_release_is_skipped_there_and_back() -> None:
    """This tree's release is never installed: from the one before it to the one after it."""
    pull(NEXT)
    first, second = nodes()
    with ExitStack() as stack:
        stay = [left_alone(manifest("skipped1", node=first)), left_alone(guest_of("uefi", "skipped2", second))]
        *old, moves = stack.enter_context(running(*stay, migratable("moves")))
        ticks, answers = stack.enter_context(observed(*old)), stack.enter_context(asked(moves.name))
        pids = {guest.name: guest.qemu_pid() for guest in old}
        travel(by_manifest, NEXT, UP)
        moved(NEXT.tag, moves)
        travel(by_image_tag, RECORDED, UP[::-1])
        moved(RECORDED.tag, moves)
        time.sleep(2 * MAX_GAP)
        assert len(answers().boots) == 1
        undisturbed(ticks(), old, pids)


def test_an_upgrade_that_is_finalized_has_no_way_back() -> None:
    if condition("Finalized").get("status") != "False":  # after the test above it is
        for build in (RECORDED, TODAY):
            by_manifest(build)
            reached(build)
    assert condition("Finalized")["status"] == "False"
    finalize()
    refused(RECORDED)
