"""How far two releases are apart. Pure; versions.py in change/ says which one is older."""

from __future__ import annotations

import re

_VERSION = re.compile(r"v?([0-9]+)\.([0-9]+)\.[0-9]+(?:-.+)?")


def minors_behind(release: str, newer: str) -> int | None:
    """By how many minor releases `release` is before `newer`; None if they cannot be compared."""
    old, new = _VERSION.fullmatch(release), _VERSION.fullmatch(newer)
    if old is None or new is None or old[1] != new[1]:
        return None
    return int(new[2]) - int(old[2])
