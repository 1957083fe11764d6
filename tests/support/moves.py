"""What moves of a travelling guest (travelling_guest.sh) were like. Used by the tests that move one between QEMUs of
two releases, in pods without a cluster and on one.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Move:
    """What a move was like."""

    direction: str
    seconds: float
    """From the first request for it until the guest is at the target."""

    troubles: str
    """What the guest finds changed or not written; empty: nothing."""

    downtime: int | None = None
    """Milliseconds; QEMU's. None: it was not read."""


def troubles(before: str, after: str, written: str) -> list[str]:
    """What the guest finds changed or not written, by what its commands `sums`, twice, and `stop-writing` print."""
    assert len(before.split()) == 6, before
    lost = [] if re.fullmatch(r"written=[1-9]\d*", written) else [written]
    return lost + sorted(set(after.split()) - set(before.split()))


def table(firmware: str, moves: Sequence[Move]) -> str:
    """What many moves were like."""
    rows = [f"{'direction':<12}  firmware   n  seconds: median, max  downtime ms: median, max  all as before"]
    for direction in dict.fromkeys(move.direction for move in moves):
        those = [move for move in moves if move.direction == direction]
        seconds = [move.seconds for move in those]
        downtimes = [move.downtime for move in those if move.downtime is not None]
        halted = f"{statistics.median(downtimes):19.0f} {max(downtimes):5}" if downtimes else f"{'not read':>25}"
        rows.append(
            f"{direction:<12}  {firmware:<8}  {len(those):>2}"
            f"  {statistics.median(seconds):15.1f} {max(seconds):5.1f}"
            f"  {halted}"
            f"  {sum(not move.troubles for move in those)} of {len(those)}"
        )
    return "\n".join(rows)
