"""Who changes the suite's release at random, and what he is promised. Used by test_random_sequences.py
and soak.py.

What he may request follows from what he has requested before (tests/support/releases_in_turn.py).
"""

from __future__ import annotations

from contextlib import suppress

from virt_core.release import FEATURE_LEVEL

from tests.e2e.builds import (
    NEXT,
    RECORDED,
    TODAY,
    Build,
    by_manifest,
    condition,
    reached,
    runs,
    set_image_tag,
    suite,
)
from tests.e2e.cluster import NAMESPACE, get, until
from tests.e2e.deaths import tolerant, whole
from tests.e2e.travelling import Change
from tests.e2e.upgrade_requests import finalize, refused, set_strategy
from tests.support.releases_in_turn import ReleasesInTurn

BUILDS = (RECORDED, TODAY, NEXT)
"""From the oldest to the newest."""

CHANGED_WITHIN = 300.0  # seconds, with deaths on the way
_SOON = 30.0  # seconds from the last pod to the last word about it in the status


class Administrator(ReleasesInTurn[Build]):
    """What he does to the suite."""

    @classmethod
    def arriving(cls, build: Build) -> Administrator:
        """The suite is of `build`, without a way back, whatever somebody has left."""
        set_strategy(None)
        set_image_tag(None)
        if build is TODAY and _level() > FEATURE_LEVEL:
            _installed(RECORDED)  # its operator knows no levels
        _installed(build)
        if _way_back():  # the recorded release leaves the condition Finalized as it finds it
            finalize()
        return cls(BUILDS, build, build, build)

    def may_apply(self, build: Build) -> bool:
        """Whether he may apply its manifest. The operator of the recorded release replaces any other at once, and knows
        neither a pause nor what another one has begun."""
        return build is not RECORDED or not (self.paused or self.in_progress)

    def may_pause(self) -> bool:
        """The recorded release refuses the field, for as long as its webhook is there."""
        there = {self.installed, self.requested} if self.in_progress else {self.installed}
        return not self.paused and RECORDED not in there

    def change(self, build: Build, way: Change) -> None:
        """Request `build`."""
        if way is by_manifest:
            set_image_tag(None)  # the manifest is to decide
        way(build)
        self.request(build)

    def pause(self) -> None:
        """Nothing further begins."""
        set_strategy({"paused": True})
        self.paused = True

    def resume(self) -> None:
        """It does."""
        set_strategy(None)
        self.paused = False

    def end_way_back(self) -> None:
        """Finalize what is installed; then what it led to is refused, by name."""
        finalize()
        refused(self.finalize())

    def arrive(self) -> None:
        """Wait until the suite is what was requested, or stands still because it is paused."""
        if not self.paused:
            _reached(self.requested)
        elif self.requested is not self.installed:
            until(tolerant(lambda: _is_paused() or runs(self.requested)), f"{self} to be paused", CHANGED_WITHIN)
        whole()
        self.settle()

    def check(self) -> None:
        """What the KubeVirt object says is true, and the way back is open as long as it was promised."""
        assert condition("Available").get("status") == "True", condition("Available")
        if self.paused:
            return
        assert runs(self.installed), condition("Degraded")
        expected = self.way_back.tag if self.way_back is not None else ""
        until(lambda: _way_back() == expected, f"the way back to be {expected or 'at its end'}", _SOON)
        until(lambda: not _probes(), "the suite's own guests to go", _SOON)

    def __str__(self) -> str:
        words = [f"{self.installed.name} installed, {self.requested.name} requested"]
        words += [f"way back to {self.way_back.name}"] if self.way_back is not None else []
        words += ["paused"] if self.paused else []
        words += ["in progress"] if self.in_progress else []
        return ", ".join(words)


def _installed(build: Build) -> None:
    if not runs(build):
        by_manifest(build)
    _reached(build)


def _reached(build: Build) -> None:
    with suppress(AssertionError):
        until(tolerant(lambda: runs(build)), build.name, CHANGED_WITHIN, every=0.5)
    reached(build, _SOON)  # says what it waits for


def _upgrade() -> dict[str, object]:
    return suite()["status"].get("upgrade") or {}


def _way_back() -> str:
    back = _upgrade().get("wayBack") or {}
    assert isinstance(back, dict)
    return str(back.get("version", ""))


def _level() -> int:
    return int(str(_upgrade().get("level") or 0))


def _is_paused() -> bool:
    return condition("Progressing").get("reason") == "UpgradePaused"


def _probes() -> list[object]:
    found: list[object] = get("vmi", "-n", NAMESPACE, "-l", "kubevirt.io/upgrade-probe")["items"]
    return found
