"""Computes status.upgrade: operation, step, waits and their start times. Pure; called by status.py.

Start times are taken from the stored status as long as operation, step or wait are the same, so that a new leader
continues them.
"""

from __future__ import annotations

from datetime import datetime

from virt_core.objects.kubevirt import Upgrade, Waiting
from virt_core.objects.meta import rfc3339

from virt_operator.suite.actions import WaitFor

_MOST = 10  # listed waits
_LONGEST = 512  # characters of a reason


def progress(
    old: Upgrade | None, operation: str, versions: tuple[str, str], waits: tuple[WaitFor, ...], now: datetime
) -> Upgrade | None:
    """The progress; None without an operation. `versions` are the installed version ("" if none) and the target."""
    if not operation:
        return None
    # An update may turn out to be a rollback when the strategy is printed: it is still the same operation.
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
