"""Compares releases. The result decides about the direction of a change. Pure."""

from __future__ import annotations

import re

_VERSION = re.compile(r"v?([0-9]+)\.([0-9]+)\.([0-9]+)(?:-(.+))?")
_CANDIDATE = re.compile(r"(alpha|beta|rc)\.?([0-9]+)")
_LAST = ("~", 0)  # a final release is newer than alpha, beta and rc


def is_older(release: str, other: str) -> bool:
    """Whether `release` is definitely older than `other`. Versions that cannot be compared, and builds of the same
    version ("0.1.0-3f2a9c"), are not older: a change between them counts as an update."""
    first, second = _VERSION.fullmatch(release), _VERSION.fullmatch(other)
    return first is not None and second is not None and _rank(first) < _rank(second)


def _rank(match: re.Match[str]) -> tuple[int, int, int, tuple[str, int]]:
    major, minor, patch, suffix = match.groups()
    candidate = _CANDIDATE.fullmatch(suffix or "")
    last = (candidate[1], int(candidate[2])) if candidate is not None else _LAST
    return int(major), int(minor), int(patch), last
