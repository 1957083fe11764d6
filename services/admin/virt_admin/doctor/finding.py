"""A finding of doctor. Pure; made by the rules, shown by examine.py."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from virt_admin.outcome import ATTENTION, BROKEN, CLEAN

PROBLEM, WAIT, NOTE = "problem", "wait", "note"


class Finding(msgspec.Struct, frozen=True, rename="camel"):
    """What is wrong or waited for. The JSON of `-o json`: its names only grow."""

    kind: str
    """ "problem": it does not go on by itself; "wait": it should; "note": nothing has to be done."""

    what: str
    """A sentence."""

    object: str
    """Kind and name of the object that it is about."""

    since: str = ""
    """RFC 3339; "" if it is unknown."""

    advice: str = ""
    """What to do, or where to look."""


def exit_code(findings: Iterable[Finding]) -> int:
    """2 with a problem, 1 with a wait, else 0."""
    kinds = {finding.kind for finding in findings}
    return BROKEN if PROBLEM in kinds else ATTENTION if WAIT in kinds else CLEAN
