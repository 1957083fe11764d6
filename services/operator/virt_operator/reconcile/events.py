"""Decides which event, if any, to record for a change of the KubeVirt object's status. Pure.

Called by the reconciler for each status that it writes. Events have the same reasons as the conditions. A message in
which only pod counts differ is not a change.
"""

from __future__ import annotations

from dataclasses import dataclass

from virt_core.conventions.suite_status import FINALIZED, ROLLBACK, UPGRADE_PAUSED, UPGRADE_STOPPED
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_core.objects.meta import Condition, condition_of

_NONE = Condition("", "")
_WARNINGS = ("ComponentsNotReady", "DeploymentFailed", UPGRADE_STOPPED)


@dataclass(frozen=True, slots=True)
class SuiteEvent:
    """The event for a change."""

    reason: str
    """The reason of the changed condition, for example "UpdateInProgress"."""

    message: str
    warning: bool = False


def events_of(old: KubeVirtStatus, new: KubeVirtStatus) -> list[SuiteEvent]:
    """The events for the change to `new`: of the operation, and of the end of a way back."""
    return [event for event in (event_of(old, new), _finalized(old, new)) if event is not None]


def event_of(old: KubeVirtStatus, new: KubeVirtStatus) -> SuiteEvent | None:
    """The event for the change to `new`: a refusal or failure has priority over the operation in progress."""
    refusal = _condition(new, "Synchronized")
    if refusal.status == "False" and _outcome(refusal) != _outcome(_condition(old, "Synchronized")):
        return SuiteEvent(refusal.reason, refusal.message, warning=True)
    before, now = _condition(old, "Available"), _condition(new, "Available")
    same_target = old.target_deployment_id == new.target_deployment_id
    if now.reason == before.reason and same_target:
        return _availability(before, now)
    return SuiteEvent(now.reason, _doing(old, new, now), warning=now.reason in _WARNINGS)


def _availability(before: Condition, now: Condition) -> SuiteEvent | None:
    """An outage that begins or ends without a change of the operation."""
    if (before.status, now.status) == ("True", "False"):
        return SuiteEvent(now.reason, now.message, warning=True)
    if (before.status, now.status) == ("False", "True"):
        return SuiteEvent(now.reason, "available again")
    return None


def _finalized(old: KubeVirtStatus, new: KubeVirtStatus) -> SuiteEvent | None:
    """The end of a way back without going it."""
    back = old.way_back
    if back is None or new.way_back is not None or _condition(new, FINALIZED).status != "True":
        return None
    if new.observed_release == back.release:
        return None
    message = f"{new.observed_kube_virt_version} is final: feature level {new.level}, no roll back to {back.version}"
    return SuiteEvent(FINALIZED, message)


def _doing(old: KubeVirtStatus, new: KubeVirtStatus, now: Condition) -> str:
    match now.reason:
        case "DeploymentInProgress":
            return f"installing {new.target_kube_virt_version}"
        case "UpdateInProgress":
            verb = "continued" if _condition(old, "Available").reason == UPGRADE_PAUSED else "begun"
            return f"{verb}: {_step(new, new)}"
        case "AllComponentsReady":
            return _done(old, new)
        case "DeletionInProgress":
            return "removing the suite"
    return now.message


def _done(old: KubeVirtStatus, new: KubeVirtStatus) -> str:
    if not old.observed_deployment_id:
        return f"installed {new.observed_kube_virt_version}"
    if old.observed_deployment_id != new.observed_deployment_id:
        return f"done: {_step(old, new)}"
    return "all components are ready again"


def _step(before: KubeVirtStatus, new: KubeVirtStatus) -> str:
    if before.observed_deployment_id == new.target_deployment_id:
        return f"back to {new.target_kube_virt_version}, the update is cancelled"
    if before.observed_kube_virt_version == new.target_kube_virt_version:
        return f"other images or settings of {new.target_kube_virt_version}"
    step = f"{before.observed_kube_virt_version} to {new.target_kube_virt_version}"
    going_back = before.upgrade is not None and before.upgrade.operation == ROLLBACK
    return f"rollback from {step}" if going_back else step


def _condition(status: KubeVirtStatus, kind: str) -> Condition:
    return condition_of(status.conditions, kind) or _NONE


def _outcome(condition: Condition) -> tuple[str, str, str]:
    return condition.status, condition.reason, condition.message
