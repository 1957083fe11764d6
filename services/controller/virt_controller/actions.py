"""Actions that every reconciler of this process has. Pure; part of the closed set in each kind's actions.py."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """Record a Kubernetes Event about the object that is reconciled."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Plan again after `seconds`."""

    seconds: float = 1.0
