"""A process of the suite, the API server or a node dies at a step of an upgrade or a roll back. Each ends without help,
and no guest notices but those of a node that died.

UPGRADE_KILLS is how many runs `make chaos` makes (60), UPGRADE_KILLS_SEED repeats one. `make test-all` makes six. The
way up is by manifest and by imageTag in turn, the way back by imageTag.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.e2e.builds import (
    RECORDED,
    TODAY,
    Build,
    by_image_tag,
    by_manifest,
    pull,
    reached,
    runs,
    set_image_tag,
    suite,
)
from tests.e2e.cluster import until
from tests.e2e.deaths import VICTIMS, staying, strike, tolerant, whole
from tests.e2e.guests import Guest, manifest, observed, running, undisturbed
from tests.e2e.killing import COMPONENTS
from tests.e2e.travelling import Change, left_alone

pytestmark = pytest.mark.usefixtures("back_to_today")

LONGEST = 600.0  # seconds for one change
BUSY_GAP = 5.0  # seconds between two ticks on a machine on which a whole node, or the API server, starts again
STEPS = ("InstallStrategy", "Definitions", *COMPONENTS[:3], "Operator", "")
""" "": as soon as the change is requested. A step that is over before anybody sees it counts as the next one."""

_LONGEST_DELAY = 3.0  # seconds from the step's report to the death


@dataclass(frozen=True, slots=True)
class Death:
    """Who dies when."""

    victim: str
    step: str
    delay: float

    @classmethod
    def drawn(cls, chance: random.Random) -> Death:
        return cls(chance.choice(VICTIMS), chance.choice(STEPS), chance.uniform(0, _LONGEST_DELAY))


def step_now() -> str:
    """The step that the KubeVirt object reports; "" if none."""
    state = suite().get("status", {}).get("upgrade") or {}
    return str(state.get("step", "")) if state.get("operation") else ""


def run(change: Change, build: Build, death: Death) -> float:
    """Request the change, let it happen, wait until the change has ended; returns the seconds from the request."""
    began = time.monotonic()
    change(build)
    order = STEPS if build is TODAY else ("InstallStrategy", "Definitions", *COMPONENTS[2::-1], "Operator")
    later = order[order.index(death.step) :] if death.step in order and death.step else ()
    if death.step:
        until(lambda: step_now() in later or runs(build), f"the step {death.step}", LONGEST, every=0.1)
    threading.Event().wait(death.delay)
    struck_at = "" if runs(build) else step_now()
    strike(death.victim)
    until(tolerant(lambda: runs(build)), f"the suite to be {build.name} after {death}", LONGEST, every=0.5)
    seconds = time.monotonic() - began
    print(
        f"{build.name} by {change.__name__}: {death.victim} died at {struck_at or 'its edge'}: {seconds:.0f} s",
        flush=True,
    )
    return seconds


def deaths(number: int) -> None:
    """So many changes, there and back in turn, with a death in each."""
    seed = int(os.environ.get("UPGRADE_KILLS_SEED", time.time_ns() % 100_000))
    print(f"UPGRADE_KILLS_SEED={seed}")
    chance = random.Random(seed)
    for build in (TODAY, RECORDED):
        pull(build)
    set_image_tag(None)
    by_manifest(RECORDED)
    reached(RECORDED)
    bodies = (staying(left_alone(manifest(name, node="node1"))) for name in ("kept1", "kept2"))
    with running(*bodies) as guests:
        pids = {guest.name: guest.qemu_pid() for guest in guests}
        for turn in range(number):
            death = Death.drawn(chance)
            with observed(*guests, name=f"observer-{turn}") as ticks:
                if turn % 2:
                    run(by_image_tag, RECORDED, death)
                else:
                    set_image_tag(None)  # what is installed stays: its operator is of the same release
                    run((by_manifest, by_image_tag)[turn // 2 % 2], TODAY, death)
                whole()
                _undisturbed(ticks, guests, pids, death)


def _undisturbed(ticks: Callable[[], object], guests: list[Guest], pids: dict[str, int], death: Death) -> None:
    threading.Event().wait(BUSY_GAP)  # a gap must have had the time to show
    try:
        undisturbed(ticks(), guests, pids, BUSY_GAP)  # type: ignore[arg-type]
    except AssertionError as error:
        raise AssertionError(f"after {death}: {error}") from error


@pytest.mark.slow
def test_six_deaths_during_changes_of_the_release_disturb_nothing() -> None:
    deaths(6)


@pytest.mark.chaos
def test_many_deaths_during_changes_of_the_release_disturb_nothing() -> None:
    deaths(int(os.environ.get("UPGRADE_KILLS", "60")))
