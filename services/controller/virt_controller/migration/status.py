"""The status of a VirtualMachineInstanceMigration. Pure; called by plan.py.

It starts from the stored status, so that fields of other releases stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from virt_core.migration.migration import (
    REJECTED_BY_QUOTA,
    STALLED,
    WAITING,
    MigrationPhase,
    VirtualMachineInstanceMigration,
)
from virt_core.objects.meta import Condition, condition_of, rfc3339, with_conditions

ABORT_REQUESTED = "migrationAbortRequested"
PARALLEL = "ParallelMigrations"
"""The reason of Waiting while as many migrations run as may."""

FAILURE = "Failure"
"""Why it failed; ours, KubeVirt has events alone."""

_BEFORE_PLACE = (WAITING, REJECTED_BY_QUOTA)
Status = dict[str, Any]


def entering(
    job: VirtualMachineInstanceMigration, phases: Iterable[MigrationPhase], now: datetime, status: Status | None = None
) -> Status:
    """The status in the last of `phases`. Each is noted with the time, if it was not entered before. Conditions about
    waiting end with the wait."""
    after = dict(job.raw_status if status is None else status)
    transitions = list(after.get("phaseTransitionTimestamps", []))
    known = {transition.get("phase") for transition in transitions}
    for phase in phases:
        if phase.value not in known:
            transitions.append({"phase": phase.value, "phaseTransitionTimestamp": rfc3339(now)})
        after["phase"] = phase.value
    after["phaseTransitionTimestamps"] = transitions
    if after["phase"] != MigrationPhase.PENDING.value:
        gone = _BEFORE_PLACE if after["phase"] != MigrationPhase.SCHEDULING.value else (WAITING,)
        _without(after, (*gone, STALLED) if MigrationPhase(after["phase"]).final else gone)
    return after


def with_condition(
    job: VirtualMachineInstanceMigration, condition: Condition, now: datetime, status: Status | None = None
) -> Status:
    """The status with the condition."""
    after = dict(job.raw_status if status is None else status)
    current = msgspec.convert(after.get("conditions", []), list[Condition])
    after["conditions"] = msgspec.to_builtins(with_conditions(current, [condition], now))
    return after


def without(status: Status, *kinds: str) -> Status:
    """The status without conditions of these types."""
    after = dict(status)
    _without(after, kinds)
    return after


def with_target(status: Status, pod: str) -> Status:
    """The status that notes the name of the target pod: it was created, and is not created again."""
    return {**status, "migrationState": {**(status.get("migrationState") or {}), "targetPod": pod}}


def without_target(status: Status) -> Status:
    """The status that notes no target pod: what was created has run nothing, and another takes its place."""
    state = {key: value for key, value in (status.get("migrationState") or {}).items() if key != "targetPod"}
    kept = {key: value for key, value in status.items() if key != "migrationState"}
    return {**kept, "migrationState": state} if state else kept


def with_way(status: Status, state: Mapping[str, Any]) -> Status:
    """The status that says between which nodes the guest moves, and how far its copy is, as `state` of the
    VirtualMachineInstance does."""
    shown = {key: state[key] for key in ("sourceNode", "targetNode", "progress") if state.get(key)}
    return {**status, "migrationState": {**(status.get("migrationState") or {}), **shown}}


def condition(job: VirtualMachineInstanceMigration, kind: str) -> Condition | None:
    """The condition as stored."""
    return condition_of(job.status.conditions, kind)


def takes_place_first(job: VirtualMachineInstanceMigration) -> bool:
    """Whether the migration has a place, or waits for nothing but one: a request that is made now gets none before it.
    KubeVirt counts none that waits, and requests further ones whenever a place is free for a moment. One that waits for
    something else, for minutes after failures, is in nobody's way."""
    if not job.status.phase.waiting:
        return job.status.takes_place
    waiting = condition(job, WAITING)
    return waiting is None or waiting.reason == PARALLEL


def _without(status: Status, kinds: Iterable[str]) -> None:
    if "conditions" in status:
        kept = [condition for condition in status["conditions"] if condition.get("type") not in kinds]
        status["conditions"] = kept
        if not kept:
            del status["conditions"]
