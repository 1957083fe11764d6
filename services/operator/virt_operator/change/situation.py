"""What one pass decides from: what was observed, the release to bring the suite to, and how the two differ. Pure.

Made by change/plan.py, read by every step (steps.py). The parts that cost something are computed once, when the first
step asks for them, so a pass that stops at an early step does not pay for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from virt_operator.certificates.plan import Due
from virt_operator.change import renewals
from virt_operator.change.objects import ObjectState, states_of
from virt_operator.change.strategies import Search
from virt_operator.change.versions import is_older
from virt_operator.settings import Settings
from virt_operator.strategy.desired import STRATEGY_IDENTIFIER, STRATEGY_RELEASE
from virt_operator.strategy.install_strategy import InstallStrategy
from virt_operator.strategy.ref import WORKLOADS, Body
from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite import permissions
from virt_operator.suite.actions import Action, WaitFor
from virt_operator.suite.observed import Observed, SuiteObject


@dataclass(frozen=True, slots=True)
class Progress:
    """What a step, or several, do now and what keeps them from being done. Done is what waits for nothing."""

    actions: tuple[Action, ...] = ()
    waits: tuple[WaitFor, ...] = ()
    later: tuple[WaitFor, ...] = ()
    """What remains to be done later, for example when a node is back. Nothing waits for it."""

    def and_then(self, later: Progress) -> Progress:
        """Both, this one first."""
        return Progress((*self.actions, *later.actions), (*self.waits, *later.waits), (*self.later, *later.later))


@dataclass(frozen=True)
class Situation:
    """Of one strategy: the one that the KubeVirt object asks for, or the installed one that is kept in repair."""

    observed: Observed
    suite: SuiteObject
    operator: Settings
    search: Search
    settings: InstallSettings | None
    """What the KubeVirt object asks for; None while the installed strategy is kept in repair."""

    @property
    def strategy(self) -> InstallStrategy:
        """Only once it has been found."""
        assert self.search.strategy is not None
        return self.search.strategy

    @cached_property
    def due(self) -> Due:
        """Certificates to renew, also those that the strategy's pods will mount."""
        objects = self.search.strategy.objects if self.search.strategy is not None else ()
        return renewals.due_now(self.observed, self.operator.namespace, objects)

    @cached_property
    def operation(self) -> str:
        """What becomes of what the status says is installed; "" for repairs."""
        if self.settings is None:
            return ""
        installed = self.suite.status.observed_deployment_id
        if not installed:
            return "Install"
        if installed == self.settings.deployment_id and not self.ordered:
            return ""
        return "Rollback" if self.backward else "Update"

    @cached_property
    def others(self) -> tuple[str, ...]:
        """Releases of the workloads that are of another strategy. Their pods may run, so an order is kept."""
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
        """Whether a step waits for the earlier ones. Not in a first installation, where nothing runs that could be
        disturbed, nor in the repair of one release."""
        return bool(self.others)

    @cached_property
    def backward(self) -> bool:
        """Whether what runs, or was installed last, is newer than the strategy. Unknown, and so False, until the
        strategy has been printed."""
        if self.search.strategy is None:
            return False
        releases = self.others or (self.suite.status.observed_release,)
        return any(is_older(self.strategy.release, release) for release in releases)

    @cached_property
    def lacking(self) -> str:
        """Permissions that the operator lacks for the strategy."""
        return lacking(self.observed, self.strategy.release, self.strategy.operator, self.operator)

    @cached_property
    def objects(self) -> tuple[ObjectState, ...]:
        """Every object of the strategy beside the live one. Only once there is a certificate authority."""
        assert self.due.authority is not None
        return states_of(self.observed, self.strategy, self.due.authority.bundle, changing=bool(self.operation))


def lacking(observed: Observed, release: str, needs: Iterable[Body], operator: Settings) -> str:
    """Permissions of `needs` that the operator does not hold, and what to apply; "" if it holds them or that is not
    known."""
    if "permissions" in observed.unknown:
        return ""
    found = permissions.missing(observed.held, needs, operator.namespace)
    return permissions.message(found, release) if found else ""
