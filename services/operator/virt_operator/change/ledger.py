"""When the ledger of an open way back is written: what a roll back would not bring back. Pure; called by plan.py.

To know it, guests, VirtualMachines and what else is stored are listed, so it is done when an update is complete, every
ten minutes from then on, and once when a roll back begins. Nothing waits for it: a roll back goes ahead.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec
from virt_core.conventions.suite_status import ROLLBACK
from virt_core.objects.upgrade_status import WayBack

from virt_operator.change.situation import Progress, Situation
from virt_operator.change.strategies import strategy_of
from virt_operator.suite.actions import ReviewWayBack

EVERY = timedelta(minutes=10)
_COMPLETE = "complete"


def reviewed(situation: Situation, back: WayBack) -> Progress:
    """The way back with what the last review has found, and the next review."""
    moment = _moment(situation, back)
    if not moment:
        return Progress()
    observed, last = situation.observed, situation.observed.review
    current = last if last is not None and (last.moment, last.deployment_id) == (moment, back.deployment_id) else None
    known = msgspec.structs.replace(back, ledger=list(current.entries)) if current is not None else back
    due = current.at + EVERY if current is not None else observed.now
    if current is not None and (moment == ROLLBACK or current.at <= observed.now < due):
        return Progress(way_back=known, deadline=due if moment == _COMPLETE else None)
    definitions = {ref.name: live for ref, live in observed.owned.items() if ref.kind == "CustomResourceDefinition"}
    before = strategy_of(observed, back.deployment_id)
    review = ReviewWayBack(moment, situation.suite, situation.operator, back, before, situation.strategy, definitions)
    return Progress((review,), way_back=known)


def _moment(situation: Situation, back: WayBack) -> str:
    if situation.search.strategy is None or situation.stopped is not None:
        return ""
    if situation.operation == ROLLBACK:
        return ROLLBACK
    return _COMPLETE if not situation.operation and back.proven_at else ""
