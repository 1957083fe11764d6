"""Computes status.upgrade: operation, step, waits, their start times, the wave, why a change has stopped, and what
outlasts it: the way back and the feature level. Pure.

Called by status.py. Start times are taken from the stored status as long as operation, step or wait are the same, so
that a new leader continues them.
"""

from __future__ import annotations

from datetime import datetime

from virt_core.conventions.suite_status import CHANGES, STOPPED
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_core.objects.meta import rfc3339
from virt_core.objects.upgrade_status import Upgrade, Waiting

from virt_operator.suite.plan import Plan

_MOST = 10  # listed waits
_LONGEST = 512  # characters of a reason


def progress(status: KubeVirtStatus, plan: Plan, now: datetime) -> Upgrade | None:
    """The progress of `plan`, with what outlasts it; None if there is nothing to say."""
    old, stopped = status.upgrade, plan.stopped
    operation = plan.operation or (STOPPED if stopped is not None else "")
    if not operation:
        return outlasting(plan)
    versions = _versions(status, plan)
    # An update may turn out to be a rollback when the strategy is printed: it is still the same operation.
    begun = old if old is not None and old.to_version == versions[1] and _is_same(old.operation, operation) else None
    step = next((wait.step for wait in plan.waits if wait.step), begun.step if begun is not None else "")
    before = {wait.object: wait.since for wait in begun.waiting_for} if begun is not None else {}
    moment = rfc3339(now)
    return Upgrade(
        operation=operation,
        from_version=versions[0],
        to_version=versions[1],
        started_at=begun.started_at if begun is not None else moment,
        step=step,
        since=begun.since if begun is not None and begun.step == step else moment,
        waiting_for=[
            Waiting(wait.what, wait.why[:_LONGEST], before.get(wait.what, moment)) for wait in plan.waits[:_MOST]
        ],
        paused_since=((begun.paused_since if begun is not None else "") or moment) if plan.paused else "",
        wave=plan.wave or (begun.wave if begun is not None and stopped is None else None),
        stopped=stopped,
        way_back=plan.way_back,
        level=plan.level,
        finalized_by=plan.finalized_by,
    )


def outlasting(plan: Plan) -> Upgrade | None:
    """What outlasts an operation."""
    if plan.way_back is None and not plan.level:
        return None
    return Upgrade(way_back=plan.way_back, level=plan.level, finalized_by=plan.finalized_by)


def _versions(status: KubeVirtStatus, plan: Plan) -> tuple[str, str]:
    """From which version to which; "" stands for none."""
    installed = status.observed_kube_virt_version
    if plan.stopped is not None and plan.operation:
        return plan.stopped.version, installed
    if plan.stopped is not None:
        return installed, plan.stopped.version
    return installed, plan.settings.tag if plan.settings is not None else ""


def _is_same(old: str, new: str) -> bool:
    return old == new or {old, new} == set(CHANGES)
