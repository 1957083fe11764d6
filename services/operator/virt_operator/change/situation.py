"""The input of a pass's steps: observation, target release, and their differences. Pure.

Created by change/plan.py, used by every step (steps.py). Expensive parts are computed lazily and once, so a pass that
stops at an early step does not compute them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from virt_core.conventions.suite_status import CHANGES, INSTALL, ROLLBACK, UPDATE
from virt_core.objects.meta import rfc3339
from virt_core.objects.upgrade_status import Stopped, Wave, WayBack

from virt_operator.certificates.plan import Due
from virt_operator.change import hold, renewals
from virt_operator.change.objects import ObjectState, states_of
from virt_operator.change.strategies import Search, observed_strategy
from virt_operator.change.versions import is_older
from virt_operator.settings import Settings
from virt_operator.strategy.desired import STRATEGY_IDENTIFIER, STRATEGY_RELEASE
from virt_operator.strategy.install_strategy import InstallStrategy
from virt_operator.strategy.ref import WORKLOADS, Body
from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite import permissions
from virt_operator.suite.actions import Action, WaitFor
from virt_operator.suite.observed import Observed, OwnedObject, PodObject, SuiteObject
from virt_operator.suite.plan import Finalization
from virt_operator.suite.upgrade_strategy import DEFAULT, ON_ITS_OWN, PAUSED, Finalizing, Pace

PAUSED_BY = f"paused by {PAUSED}"
"""How the reason of a wait begins that an administrator has asked for."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Actions and waits of one or several steps. A step without waits is done."""

    actions: tuple[Action, ...] = ()
    waits: tuple[WaitFor, ...] = ()
    later: tuple[WaitFor, ...] = ()
    """What remains to be done later, for example when a node is back. Nothing waits for it."""

    wave: Wave | None = None
    """The current wave, if it changes."""

    stopped: Stopped | None = None
    """Why the change stops."""

    deadline: datetime | None = None
    """When a further pass is due."""

    way_back: WayBack | None = None
    """The way back, if it changes."""

    way_back_ends: bool = False
    finalization: Finalization | None = None
    """Why the way back does not end."""

    def and_then(self, later: Progress) -> Progress:
        """Both, this one first."""
        return Progress(
            (*self.actions, *later.actions),
            (*self.waits, *later.waits),
            (*self.later, *later.later),
            later.wave or self.wave,
            self.stopped or later.stopped,
            min(filter(None, (self.deadline, later.deadline)), default=None),
            later.way_back or self.way_back,
            self.way_back_ends or later.way_back_ends,
            later.finalization or self.finalization,
        )


@dataclass(frozen=True)
class Situation:
    """The situation of a strategy: the requested one, or the installed one that is being repaired."""

    observed: Observed
    suite: SuiteObject
    operator: Settings
    search: Search
    settings: InstallSettings | None
    """The requested settings; None while the installed strategy is being repaired."""

    pace: Pace = DEFAULT
    finalizing: Finalizing = ON_ITS_OWN
    stopped: Stopped | None = None
    """Why the requested change has stopped. Then the strategy is the installed one, which comes back."""

    @property
    def strategy(self) -> InstallStrategy:
        """The strategy, once it has been found."""
        assert self.search.strategy is not None
        return self.search.strategy

    @cached_property
    def due(self) -> Due:
        """Certificates to renew, including those that the strategy's pods will mount."""
        objects = self.search.strategy.objects if self.search.strategy is not None else ()
        return renewals.due_now(self.observed, self.operator.namespace, objects)

    @cached_property
    def operation(self) -> str:
        """The operation on the installed release: Install, Update or Rollback; "" for repairs."""
        if self.settings is None:
            return ""
        installed = self.suite.status.observed_deployment_id
        if not installed:
            return INSTALL
        if installed == self.settings.deployment_id and not self.ordered:
            return ""
        return ROLLBACK if self.backward else UPDATE

    @cached_property
    def others(self) -> tuple[str, ...]:
        """Releases of workloads of other strategies. Their pods may run, so the order of steps matters."""
        if self.search.strategy is None:
            return ()
        return tuple(
            live.metadata.annotations.get(STRATEGY_RELEASE, "")
            for ref, live in self.observed.owned.items()
            if ref.kind in WORKLOADS
            and live.metadata.annotations.get(STRATEGY_IDENTIFIER) != self.strategy.deployment_id
        )

    @property
    def ordered(self) -> bool:
        """Whether a step waits for the earlier ones. False for a first installation, which disturbs nothing, and for
        the repair of a single release."""
        return bool(self.others)

    @cached_property
    def backward(self) -> bool:
        """Whether the running or last installed release is newer than the strategy. Unknown, and therefore False, until
        the strategy is printed."""
        if self.search.strategy is None:
            return False
        if self.stopped is not None:
            return self.stopped.operation == UPDATE
        releases = self.others or (self.suite.status.observed_release,)
        return any(is_older(self.strategy.release, release) for release in releases)

    @property
    def is_proven(self) -> bool:
        """Whether new pods are probed before the next wave or component begins. Not on the way back of a change that
        has stopped, which must not be stopped again."""
        return self.operation in CHANGES and self.stopped is None

    def has_begun(self, live: OwnedObject) -> bool:
        """Whether a workload is of the strategy already."""
        return live.metadata.annotations.get(STRATEGY_IDENTIFIER) == self.strategy.deployment_id

    @property
    def held(self) -> str:
        """Why nothing further of a change begins: an administrator has paused it; "" otherwise."""
        if not self.pace.paused or not self.is_proven:
            return ""
        upgrade = self.suite.status.upgrade
        since = upgrade.paused_since if upgrade is not None else ""
        return f"{PAUSED_BY} since {since or rfc3339(self.observed.now)}"

    @property
    def way_back(self) -> WayBack | None:
        """The way back that is recorded."""
        return self.suite.status.way_back

    @cached_property
    def level(self) -> int:
        """The cluster's feature level before this pass; 0: unknown."""
        if self.suite.status.level:
            return self.suite.status.level
        installed = observed_strategy(self.observed)  # by a release that records no level
        return installed.feature_level if installed is not None else 0

    def exists(self, pod: PodObject) -> bool:
        """Whether the pod's node exists, or it has none yet."""
        return not pod.node or pod.node in self.observed.nodes

    @cached_property
    def lacking(self) -> str:
        """Permissions that the operator lacks for the strategy."""
        return lacking(self.observed, self.strategy.release, self.strategy.operator, self.operator)

    @cached_property
    def objects(self) -> tuple[ObjectState, ...]:
        """Every object of the strategy with its live state. Requires a certificate authority."""
        assert self.due.authority is not None
        bodies = [hold.applied(self.observed, body, changing=self.is_proven) for body in self.strategy.objects]
        return states_of(self.observed, bodies, self.due.authority.bundle, changing=bool(self.operation))


def lacking(observed: Observed, release: str, needs: Iterable[Body], operator: Settings) -> str:
    """A message with permissions of `needs` that the operator lacks and the manifest to apply; "" if none is missing or
    it is unknown."""
    if "permissions" in observed.unknown:
        return ""
    found = permissions.missing(observed.held, needs, operator.namespace)
    return permissions.message(found, release) if found else ""
