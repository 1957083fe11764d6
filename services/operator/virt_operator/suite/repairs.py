"""Repairs that were in vain, and when such an object is written again. Pure; called by reconcile/repaired.py for each
response to a repair, and by change/objects.py.

A webhook of somebody else may change each write of an object. So a repair was in vain if the object has to be repaired
again although the same is desired as before, and nobody has changed since then what the API server made of it. Such
objects are repaired with growing delays; a change of what is desired is written at once.

A repair of an immutable field is a deletion, after which the next pass creates the object. What the API server makes of
it is known only then. The object is created without delay; its next deletion waits.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec

from virt_operator.strategy.ref import Body
from virt_operator.suite.observed import OwnedObject, Repair

_UNKNOWN = b""
_VAIN_REPAIRS = 2
_AGAIN, _AGAIN_LAST = 5.0, 300.0  # seconds


def after_repair(before: Repair | None, desired: Body, live: OwnedObject, made: OwnedObject, now: datetime) -> Repair:
    """The repair that replaced `live`, of which the API server has made `made`. `before` is the last one."""
    return Repair(_digest(desired), _own(desired, made), _vain(before, desired, live), now)


def before_recreation(before: Repair | None, desired: Body, live: OwnedObject, now: datetime) -> Repair:
    """The repair that is about to delete `live`, because `desired` cannot replace it."""
    return Repair(_digest(desired), _UNKNOWN, _vain(before, desired, live), now)


def after_creation(before: Repair, desired: Body, made: OwnedObject) -> Repair:
    """The recreation `before`, whose object has been created: the API server has made `made` of it."""
    vain = before.vain if before.desired == _digest(desired) else 0
    return replace(before, desired=_digest(desired), made=_own(desired, made), vain=vain)


def is_recreation(repair: Repair) -> bool:
    """Whether the object was deleted, and is not known to have been created again."""
    return repair.made == _UNKNOWN


def _vain(before: Repair | None, desired: Body, live: OwnedObject) -> int:
    """How many repairs in a row were in vain, if `desired` has to be written over `live` now."""
    if before is None or before.desired != _digest(desired):
        return 0
    if is_recreation(before):
        return before.vain  # its deletion has failed or is not over
    return before.vain + 1 if before.made == _own(desired, live) else 0


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
