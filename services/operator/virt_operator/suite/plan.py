"""The plan of a pass. Pure.

Created by change/plan.py and removal/plan.py, executed by reconcile/execute.py, reported by reconcile/status.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from virt_core.objects.upgrade_status import Stopped, Wave, WayBack

from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite.actions import Action, WaitFor
from virt_operator.suite.spec import RefusedSpec


@dataclass(frozen=True, slots=True)
class Finalization:
    """Why an upgrade is not finalized yet."""

    reason: str
    """Of the condition Finalized."""

    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions and waits."""

    actions: tuple[Action, ...] = ()
    waits: tuple[WaitFor, ...] = ()
    """What the suite waits for, in the order of the steps."""

    later: tuple[WaitFor, ...] = ()
    """What remains to be done later, for example when a node is back. Nothing waits for it."""

    settings: InstallSettings | None = None
    """The target settings; None if nothing is being installed, or the spec is refused."""

    release: str = ""
    """The target release; "" until its strategy is printed."""

    created: bool = False
    """Whether every object exists and is as desired."""

    refused: RefusedSpec | None = None
    next_deadline: datetime | None = None
    """When the next pass is due."""

    operation: str = ""
    """ "Install", "Update", "Rollback" or "Removal"; "" without a change."""

    wave: Wave | None = None
    """The current wave, if it changes."""

    stopped: Stopped | None = None
    """Why the requested change has stopped, and the installed release comes back or is back."""

    paused: str = ""
    """Why nothing further begins, if an administrator has paused the change; "" otherwise."""

    way_back: WayBack | None = None
    """The release to which a roll back is open."""

    level: int = 0
    """The cluster's feature level; 0: unknown."""

    finalized_by: str = ""
    """The annotation's value, if what it asks for has been done."""

    finalization: Finalization | None = None
    """Why the way back is open; None if there is none."""

    barred: str = ""
    """Why the requested change may not begin, although its strategy is known; "" if it may."""

    missing: str = ""
    """Permissions that the operator lacks for the installed release. It still does what it can."""
