"""How a pass failed, and when that is worth a condition. Pure; called by execute.py and reconciler.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from virt_core.kube.errors import Conflict, Forbidden, Invalid, KubeError, Unavailable

_PASSING = 1.0  # seconds; conflicts and a busy API server are over by then as a rule


@dataclass(frozen=True, slots=True)
class Failure:
    """An error, and what was being done."""

    what: str
    """The object, for example "Deployment kubevirt/virt-api"; "" for the pass itself."""

    error: Exception

    def __str__(self) -> str:
        if isinstance(self.error, KubeError):
            return f"{self.what}: {self.error}" if self.what else str(self.error)
        where = f" at {self.what}" if self.what else ""
        return f"defect of virt-operator{where}, see its log: {type(self.error).__name__}: {self.error}"


def most_telling(failures: Iterable[Failure]) -> Failure | None:
    """Of those that happened side by side."""
    return min(failures, key=_severity, default=None)


def is_reported(failure: Failure, seconds: float) -> bool:
    """Whether users are to read of it, passes having failed for `seconds`: what ends by itself is reported only if it
    lasts."""
    return seconds >= _PASSING or not isinstance(failure.error, Conflict | Unavailable)


def _severity(failure: Failure) -> int:
    """Defects first, then refusals that will not mend themselves, conflicts last."""
    match failure.error:
        case Forbidden() | Invalid():
            return 1
        case Conflict():
            return 3
        case KubeError():
            return 2
    return 0
