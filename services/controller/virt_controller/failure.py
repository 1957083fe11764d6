"""A write that the API server refuses, and when it is tried again. Pure; part of what kinds observe.

A refusal ends when somebody changes something, a quota or a webhook for example. So it is reported, and tried again:
the longer it has lasted, the less often.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from virt_core.objects.meta import Condition, seconds_since

_RETRY_FIRST, _RETRY_LAST = 2.0, 60.0  # seconds between attempts


@dataclass(frozen=True, slots=True)
class Failure:
    """A refused write, as a condition reports it."""

    reason: str
    message: str
    at: datetime

    def seconds_to_retry(self, reported: Condition | None, now: datetime) -> float:
        """The seconds from `now` until the next attempt. `reported` is the condition that reports such failures, if it
        is stored: its transition time says how long they have lasted."""
        lasted = seconds_since(reported.last_transition_time, self.at) if reported is not None else 0.0
        return remaining(max(_RETRY_FIRST, min(lasted, _RETRY_LAST)), self.at, now)


def credible(seconds: float, longest: float) -> float:
    """`seconds` of waiting by a moment that an object states. Nothing if they are more than twice the longest back-off:
    then the clock that stated the moment, or this one, is wrong."""
    return seconds if seconds <= 2 * longest else 0.0


def remaining(delay: float, began: datetime, now: datetime) -> float:
    """What is left of `delay` seconds that began at that moment; nothing if the clock was set back since."""
    return delay - (now - began).total_seconds() if now >= began else 0.0
