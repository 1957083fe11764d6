"""The hours of the day in which a guest's launcher may be replaced. Pure; called by plan.py."""

from __future__ import annotations

import re
from datetime import datetime

ALLOWED = 'hours in UTC such as "22:00-04:00"'
_FORMAT = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


def is_open(window: str, now: datetime) -> bool:
    """Whether `now` (UTC) is in the window. One that ends as it begins is always open.

    Raises:
        ValueError: it is no window; use what ALLOWED says.
    """
    match = _FORMAT.fullmatch(window)
    if match is None:
        raise ValueError(f"{window[:80]!r} is not allowed, use {ALLOWED}")
    first_hour, first_minute, last_hour, last_minute = map(int, match.groups())
    begin, end, minute = first_hour * 60 + first_minute, last_hour * 60 + last_minute, now.hour * 60 + now.minute
    if begin <= end:
        return begin <= minute < end or begin == end
    return minute >= begin or minute < end
