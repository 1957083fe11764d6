"""Which releases there are, and how far two are apart. Pure.

virt-controller starts launchers of older releases, virt-operator plans changes between releases.
"""

from __future__ import annotations

import re

RECORDED = ("0.1.0",)
"""The releases of releases.toml, oldest first."""

OLDEST_LAUNCHER = 2
"""A release works with launchers of so many minor releases before it."""

_VERSION = re.compile(r"v?(([0-9]+)\.([0-9]+)\.[0-9]+)(?:-.+)?")
_NONE = "0.0.0"  # of a checkout that is run by hand (release.py)


def version_of(release: str) -> str:
    """MAJOR.MINOR.PATCH with which a release, or the tag of one of its images, begins; "" if it does not."""
    found = _VERSION.fullmatch(release)
    return found[1] if found is not None else ""


def minors_behind(release: str, newer: str) -> int | None:
    """By how many minor releases `release` is before `newer`; None if they cannot be compared."""
    old, new = _VERSION.fullmatch(release), _VERSION.fullmatch(newer)
    if old is None or new is None or old[2] != new[2]:
        return None
    return int(new[3]) - int(old[3])


def runs_launcher_of(release: str, launcher: str) -> bool:
    """Whether `release` starts guests with launchers of the release `launcher`."""
    behind = minors_behind(launcher, release)
    return behind is not None and 0 <= behind <= OLDEST_LAUNCHER


def launcher_releases(release: str) -> tuple[str, ...]:
    """The releases whose launchers `release` starts, its own last."""
    own = version_of(release)
    if own in ("", _NONE):
        return RECORDED
    return *(found for found in RECORDED if found != own and runs_launcher_of(own, found)), own
