"""Repairs that were in vain, and when such an object is written again. Pure; called by reconcile/inventory.py for each
response to a repair, and by change/objects.py.

A webhook of somebody else may change each write of an object. So a repair was in vain if the object has to be repaired
again although the same is desired as before, and nobody has changed since then what the API server made of it. Such
objects are repaired with growing delays; a change of what is desired is written at once.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import msgspec

from virt_operator.strategy.ref import Body
from virt_operator.suite.observed import OwnedObject, Repair

_VAIN_REPAIRS = 2
_AGAIN, _AGAIN_LAST = 5.0, 300.0  # seconds


def after_repair(before: Repair | None, desired: Body, live: OwnedObject, made: OwnedObject, now: datetime) -> Repair:
    """The repair that replaced `live`, of which the API server has made `made`. `before` is the last one."""
    wanted, found = _digest(desired), _own(desired, live)
    in_vain = before is not None and (before.desired, before.made) == (wanted, found)
    return Repair(wanted, _own(desired, made), before.vain + 1 if before is not None and in_vain else 0, now)


def next_attempt(repair: Repair) -> datetime | None:
    """When an object may be repaired again; None: at once."""
    if repair.vain < _VAIN_REPAIRS:
        return None
    seconds = min(_AGAIN * 2 ** (repair.vain - _VAIN_REPAIRS), _AGAIN_LAST)
    return repair.at + timedelta(seconds=seconds)


def held_until(repair: Repair | None, desired: Body, now: datetime) -> datetime | None:
    """The next attempt at writing `desired`; None: at once, also if the clock was set back since the last one."""
    due = next_attempt(repair) if repair is not None else None
    if repair is None or due is None or not repair.at <= now < due:
        return None
    return due if repair.desired == _digest(desired) else None


def _own(desired: Body, live: OwnedObject) -> bytes:
    """What a repair writes, as it is in `live`. Labels and annotations of others change at any time."""
    content, meta = live.content(), desired["metadata"]
    marks = {
        part: {key: value for key, value in content["metadata"][part].items() if key in meta.get(part, {})}
        for part in ("labels", "annotations")
    }
    return _digest({**content, "metadata": marks})


def _digest(value: Body) -> bytes:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).digest()
