"""status.upgrade: which operation goes on, at which step, what is waited for and since when. Pure; called by status.py.

Times are kept from the status that is there as long as what they are about stays the same, so that a new leader goes on
counting where the old one was.
"""

from __future__ import annotations

from datetime import datetime

from virt_core.objects.kubevirt import Upgrade, Waiting
from virt_core.objects.meta import rfc3339

from virt_operator.suite.actions import WaitFor

_MOST = 10  # of the objects that are waited for
_LONGEST = 512  # characters of a reason


def progress(
    old: Upgrade | None, operation: str, versions: tuple[str, str], waits: tuple[WaitFor, ...], now: datetime
) -> Upgrade | None:
    """`versions` are what was installed, "" if nothing, and what is to be. None when there is no operation."""
    if not operation:
        return None
    # An update turns out to be a rollback when the strategy has been printed: it is the same operation all the same.
    begun = old if old is not None and old.to_version == versions[1] and _is_same(old.operation, operation) else None
    step = waits[0].step if waits else (begun.step if begun is not None else "")
    before = {wait.object: wait.since for wait in begun.waiting_for} if begun is not None else {}
    moment = rfc3339(now)
    return Upgrade(
        operation=operation,
        from_version=versions[0],
        to_version=versions[1],
        started_at=begun.started_at if begun is not None else moment,
        step=step,
        since=begun.since if begun is not None and begun.step == step else moment,
        waiting_for=[Waiting(wait.what, wait.why[:_LONGEST], before.get(wait.what, moment)) for wait in waits[:_MOST]],
    )


def _is_same(old: str, new: str) -> bool:
    return old == new or {old, new} == {"Update", "Rollback"}
