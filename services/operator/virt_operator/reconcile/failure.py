"""Failures of a pass, and when they are reported in a condition. Pure; called by execute.py and reconciler.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from virt_core.conventions import components
from virt_core.kube.errors import Conflict, Forbidden, Invalid, KubeError, Unavailable

from virt_operator.change.grants import APPLY_NEWEST_ROLES
from virt_operator.suite.actions import WaitFor
from virt_operator.suite.plan import Plan

# Seconds. Overload of the API server usually ends sooner. A new definition changes for seconds until it is established,
# so conflicts with it are part of an installation on a slow machine.
_PASSING, _PASSING_CONFLICT = 1.0, 10.0
# Kubernetes' words if a role would grant what its writer does not hold: a newer release than the operator's needs it.
_ESCALATION = "attempting to grant RBAC permissions not currently held"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error and its object."""

    what: str
    """The object, for example "Deployment kubevirt/virt-api"; "" for the pass itself."""

    error: Exception

    def __str__(self) -> str:
        if isinstance(self.error, KubeError):
            text = f"{self.what}: {self.error}" if self.what else str(self.error)
            return (
                f"{text}; {APPLY_NEWEST_ROLES}" if isinstance(self.error, Forbidden) and _ESCALATION in text else text
            )
        where = f" at {self.what}" if self.what else ""
        return f"defect of virt-operator{where}, see its log: {type(self.error).__name__}: {self.error}"


def blocked_by(plan: Plan, failure: Failure) -> Plan:
    """`plan`, which waits for nothing else before the failure is mended."""
    step = next((wait.step for wait in plan.waits if wait.step), "")
    what = failure.what or components.OPERATOR
    wait = WaitFor(what, str(failure).removeprefix(f"{failure.what}: "), step)
    return replace(plan, waits=(wait, *(other for other in plan.waits if other.what != what)))


def most_telling(failures: Iterable[Failure]) -> Failure | None:
    """The most important of parallel failures."""
    return min(failures, key=_severity, default=None)


def is_reported(failure: Failure, seconds: float) -> bool:
    """Whether to report the failure after passes have failed for `seconds`. Transient failures are reported only if
    they last."""
    match failure.error:
        case Conflict():
            return seconds >= _PASSING_CONFLICT
        case Unavailable():
            return seconds >= _PASSING
    return True


def _severity(failure: Failure) -> int:
    """Sort key: defects first, then permanent refusals, conflicts last."""
    match failure.error:
        case Forbidden() | Invalid():
            return 1
        case Conflict():
            return 3
        case KubeError():
            return 2
    return 0
