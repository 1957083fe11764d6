"""The status of a VirtualMachine. Pure; called by plan.py.

It starts from the stored status, so that fields of other releases stay as they are. Conditions of the
VirtualMachineInstance are copied while there is one; when it is gone they go too.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
from virt_core.conventions import labels
from virt_core.objects.meta import Condition, condition_of, rfc3339, seconds_until, with_conditions
from virt_core.vm.virtual_machine import RunStrategy, StartFailure, StateChangeRequest
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.failure import credible
from virt_controller.vm.observe import Observed, ever_ran
from virt_controller.vm.printable import printable_status
from virt_controller.vm.restart_required import restart_fields
from virt_controller.vm.run_strategy import restarts_by_itself
from virt_controller.vm.start_revision import is_overwritten, next_start_revision

Status = dict[str, Any]
_BACKOFF_FIRST, _BACKOFF_LAST = 10, 300  # seconds, KubeVirt's
RECORDED = ("stateChangeRequests", "startFailure", "runStrategy", "startRevision")
"""Fields that later starts and stops rest on. The others only report."""

_SHOWN_FIELDS = 8
_OWN = ("Ready", "Failure", "RestartRequired")  # conditions; the API server refuses a list that names a type twice
_DIGITS = 18  # of any number that fits into the status' 64 bits


def next_status(observed: Observed, requests: tuple[StateChangeRequest, ...]) -> Status:
    """The whole status as it is to be stored."""
    vmi, after = observed.own, dict(observed.vm.raw_status)
    start_failure, start_revision = next_start_failure(observed), next_start_revision(observed)
    conditions = _conditions(observed)
    wanted: dict[str, Any] = {
        "created": vmi is not None,
        "ready": any(condition.type == "Ready" and condition.status == "True" for condition in conditions),
        "conditions": msgspec.to_builtins(conditions),
        "printableStatus": printable_status(observed, start_failure),
        "stateChangeRequests": msgspec.to_builtins(list(requests)),
        "startFailure": msgspec.to_builtins(start_failure) if start_failure is not None else None,
        "startRevision": msgspec.to_builtins(start_revision) if start_revision is not None else None,
        "observedGeneration": started_generation(vmi) if vmi is not None else None,
        "desiredGeneration": observed.vm.metadata.generation if vmi is not None else None,
    }
    if vmi is not None:
        wanted["runStrategy"] = observed.spec.strategy_name
    for key, value in wanted.items():
        if value or (value == 0 and value is not False):
            after[key] = value
        else:
            after.pop(key, None)
    return after


def announced_status(observed: Observed, created: VirtualMachineInstance) -> Status:
    """The status before `created` is created, as far as it is right even if the controller dies in between: requests
    and failures are done with when the VirtualMachineInstance exists, and so is a switch to RerunOnFailure."""
    before = dict(observed.vm.raw_status)
    if is_overwritten(observed):
        del before["startRevision"]
    kept = [key for key in RECORDED if key != "runStrategy" or observed.strategy is RunStrategy.RERUN_ON_FAILURE]
    after = next_status(replace(observed, vmi=created), ())
    return {key: value for key, value in after.items() if key not in kept} | {
        key: before[key] for key in kept if key in before
    }


def next_start_failure(observed: Observed) -> StartFailure | None:
    """What is known of starts that ended before the guest ever ran. Each VirtualMachineInstance counts once, and none
    that was deleted before it ended: a user who restarts or stops a guest that does not start has not seen a crash."""
    before, vmi = observed.status.start_failure, observed.own
    if not restarts_by_itself(observed.strategy) or (vmi is not None and ever_ran(vmi)):
        return None
    if vmi is None or not vmi.status.phase.final or vmi.status.phase == "Succeeded":
        return before
    if vmi.metadata.deletion_timestamp is not None:
        return before
    if before is not None and before.last_failed_vmi_uid == vmi.metadata.uid:
        return before
    count = (before.consecutive_fail_count if before is not None else 0) + 1
    seconds = backoff_seconds(count, observed.jitter)
    return StartFailure(count, vmi.metadata.uid, rfc3339(observed.now + timedelta(seconds=seconds)))


def backoff_seconds(failures: int, jitter: float) -> float:
    """Until the next start after so many failed ones: 10 n² seconds and up to half of that more, 300 at most."""
    seconds = _BACKOFF_FIRST * failures * failures
    return min(seconds + jitter * seconds / 2, _BACKOFF_LAST)


def seconds_to_start(failure: StartFailure, now: datetime) -> float:
    """The seconds until the back-off is over; 0 if it is over, or later than any back-off: then a clock was wrong."""
    return credible(seconds_until(failure.retry_after_timestamp, now), _BACKOFF_LAST)


def started_generation(vmi: VirtualMachineInstance) -> int:
    """The VirtualMachine's generation that the VirtualMachineInstance was started with; 0 if that is unknown."""
    value = vmi.metadata.annotations.get(labels.VM_GENERATION, "")
    return int(value) if len(value) <= _DIGITS and value.isascii() and value.isdecimal() else 0


def _conditions(observed: Observed) -> list[Condition]:
    vmi = observed.own
    copied = [condition for condition in vmi.status.conditions if condition.type not in _OWN] if vmi is not None else []
    own = [_ready(observed)]
    if observed.failure is not None:
        own.append(Condition("Failure", "True", observed.failure.reason, observed.failure.message))
    if fields := restart_fields(observed):
        own.append(Condition("RestartRequired", "True", "RestartRequired", _restart_message(fields)))
    before = {condition.type: condition for condition in observed.status.conditions}
    kept = [before[condition.type] for condition in own if condition.type in before]
    return sorted([*copied, *with_conditions(kept, own, observed.now)], key=lambda condition: condition.type)


def _ready(observed: Observed) -> Condition:
    if observed.own is None:
        return Condition("Ready", "False", "VMINotExists", f"VMI does not exist{_why_it_failed(observed)}")
    ready = condition_of(observed.own.status.conditions, "Ready")
    if ready is None:
        return Condition("Ready", "False", "VMIConditionMissing", "VMI is missing the Ready condition")
    return ready


def _why_it_failed(observed: Observed) -> str:
    """During a back-off, from what was reported of the instance that is gone, and of it only."""
    before = condition_of(observed.status.conditions, "Ready")
    if before is None or next_start_failure(observed) is None:
        return ""
    if before.reason == "VMINotExists":
        return before.message.removeprefix("VMI does not exist")
    return f", its last start has failed: {before.message}"


def _restart_message(fields: tuple[str, ...]) -> str:
    shown = ", ".join(fields[:_SHOWN_FIELDS])
    more = f" and {len(fields) - _SHOWN_FIELDS} more" if len(fields) > _SHOWN_FIELDS else ""
    return f"a non-live-updatable field was changed in the template spec: {shown}{more}"
