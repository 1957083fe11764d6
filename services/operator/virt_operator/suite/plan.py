"""One pass's decision, as a value. Pure.

Made by change/plan.py and removal/plan.py, carried out by reconcile/execute.py, reported by reconcile/status.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite.actions import Action, WaitFor
from virt_operator.suite.spec import RefusedSpec


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, and what the suite waits for."""

    actions: tuple[Action, ...] = ()
    waits: tuple[WaitFor, ...] = ()
    """What keeps the suite from being as it should be, in the order of the steps."""

    later: tuple[WaitFor, ...] = ()
    """What remains to be done later, for example when a node is back. Nothing waits for it."""

    settings: InstallSettings | None = None
    """What is being installed; None while nothing is, or the spec is refused."""

    release: str = ""
    """The release that is being installed; "" until its strategy has been printed."""

    created: bool = False
    """Every object exists and is as desired."""

    refused: RefusedSpec | None = None
    next_deadline: datetime | None = None
    """When something falls due by itself."""

    operation: str = ""
    """ "Install", "Update", "Rollback" or "Removal"; "" if the suite is what it was."""

    missing: str = ""
    """Permissions that the operator lacks for what is installed. Reported while it does what it can."""
