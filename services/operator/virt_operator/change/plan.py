"""What to do now, from what was seen: the one place that decides. Pure.

Called by the reconciler in each pass; what it returns is carried out by execute.py and reported by status.py. Every
pass starts from the cluster's state and trusts nothing that an earlier pass wrote, so any crash is just a later pass.

    spec.py → strategies.py → customize.py → permissions.py → succession.py
        → converge.py (growth.py, drift.py, rollout.py)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from msgspec import structs
from virt_core.conventions.labels import KUBEVIRT_FINALIZER

from virt_operator.certificates.plan import Due
from virt_operator.change import renewals, strategies, succession
from virt_operator.change.converge import DEFINITIONS, change_of, converge, next_repair
from virt_operator.change.versions import is_older
from virt_operator.customization.customize import customized, standing
from virt_operator.customization.patches import Patch, patches_of
from virt_operator.settings import Settings
from virt_operator.strategy.operator_rbac import operator_rbac
from virt_operator.strategy.ref import Body
from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite import permissions
from virt_operator.suite.actions import Action, AddFinalizer, Delete, WaitFor
from virt_operator.suite.observed import Observed, SuiteObject
from virt_operator.suite.spec import RefusedSpec, install_settings

PERMISSIONS = "Permissions"


@dataclass(frozen=True, slots=True)
class Plan:
    """One pass's decision."""

    actions: tuple[Action, ...] = ()
    waits: tuple[WaitFor, ...] = ()
    """What keeps the suite from being as it should be, in the order of the steps."""

    settings: InstallSettings | None = None
    """What is being installed; None while nothing is, or the spec is refused."""

    created: bool = False
    """Every object is there and as desired."""

    refused: RefusedSpec | None = None
    next_deadline: datetime | None = None
    """When something falls due by itself."""

    operation: str = ""
    """ "Install", "Update", "Rollback" or "Removal"; "" if the suite is what it was."""

    missing: str = ""
    """Permissions that the operator lacks for what is installed, told while it does what it can."""


def plan(observed: Observed, operator: Settings) -> Plan:
    """Install, repair, change the release, or do nothing. A KubeVirt object that is being deleted is removal.py's."""
    if observed.suite is None:
        return kept(observed, Plan(), operator)
    if observed.unknown:
        lacking = _lacking(observed, operator.release, operator_rbac(_own(operator)), operator)
        return kept(observed, Plan(missing=lacking), operator)
    due = renewals.due_now(observed, operator.namespace)
    try:
        settings, patches = install_settings(observed.suite.spec, operator), patches_of(observed.suite.spec)
        return _towards(settings, patches, observed, operator, due)
    except RefusedSpec as refused:
        return Plan(_kept(observed, due, None), refused=refused, next_deadline=due.next_deadline)


def kept(observed: Observed, decided: Plan, operator: Settings) -> Plan:
    """`decided`, which thinks of no certificates (a removal may wait for days), with what keeps them good."""
    actions, deadline = renewals.upkeep(observed, operator.namespace)
    deadlines = [one for one in (decided.next_deadline, deadline) if one is not None]
    return replace(decided, actions=(*decided.actions, *actions), next_deadline=min(deadlines, default=None))


def _towards(
    settings: InstallSettings, patches: Sequence[Patch], observed: Observed, operator: Settings, due: Due
) -> Plan:
    suite = observed.suite
    assert suite is not None
    if KUBEVIRT_FINALIZER not in suite.metadata.finalizers:
        meta = suite.metadata
        add = AddFinalizer(meta)
        return Plan((add,), (WaitFor("KubeVirt object", "its finalizer is being added", DEFINITIONS),), settings)
    operation = _operation(suite, settings)
    found = strategies.search(observed, settings)
    if found.strategy is None:
        return _standing(observed, due, settings, patches, operation, waits=found.waits, actions=found.actions)
    strategy = structs.replace(found.strategy, objects=customized(found.strategy.objects, patches))
    lacking = _lacking(observed, strategy.release, strategy.operator, operator)
    if lacking and operation:
        wait = WaitFor("permissions of virt-operator", lacking, PERMISSIONS)
        return replace(_standing(observed, due, settings, patches, operation, waits=(wait,)), missing=lacking)
    due = renewals.due_now(observed, operator.namespace, strategy.objects)  # also what its pods will mount
    change = change_of(observed, strategy)
    if change is not None and not operation:  # an update is given up: what is asked for is what was there before
        operation = "Rollback" if change.backward else "Update"
    actions, waits = succession.move(observed, strategy, settings, operator)
    if waits and succession.goes_first(strategy, operator):
        return _standing(observed, due, settings, patches, operation, waits=waits, actions=actions)
    done = converge(observed, due, strategy, change, changing=bool(operation))
    if waits and not done.actions and not done.waits:  # the operator itself is last
        done = replace(done, actions=actions, waits=waits)
    return Plan(
        (*done.actions, *found.actions),
        done.waits,
        settings,
        created=done.created,
        next_deadline=min(filter(None, (due.next_deadline, next_repair(observed))), default=None),
        operation=operation,
        missing=lacking,
    )


def _standing(
    observed: Observed,
    due: Due,
    settings: InstallSettings,
    patches: Sequence[Patch],
    operation: str,
    *,
    waits: tuple[WaitFor, ...],
    actions: tuple[Action, ...] = (),
) -> Plan:
    """What is installed is kept in repair, nothing of it is changed or removed, while `waits` are waited for."""
    kept = _kept(observed, due, patches)
    return Plan((*kept, *actions), waits, settings, next_deadline=due.next_deadline, operation=operation)


def _kept(observed: Observed, due: Due, patches: Sequence[Patch] | None) -> tuple[Action, ...]:
    """Repairs of what is installed, certificates at least. Begins and ends no customization."""
    installed = strategies.observed_strategy(observed)
    if installed is None or change_of(observed, installed) is not None:
        return renewals.actions(observed, due)
    objects = standing(installed.objects, patches, observed.owned)
    repairs = converge(observed, due, structs.replace(installed, objects=objects), None, changing=False).actions
    return tuple(one for one in repairs if not isinstance(one, Delete))


def _operation(suite: SuiteObject, settings: InstallSettings) -> str:
    """What becomes of what the status says is installed."""
    installed = suite.status.observed_deployment_id
    if not installed or installed == settings.deployment_id:
        return "" if installed else "Install"
    return "Rollback" if is_older(settings.tag, suite.status.observed_kube_virt_version) else "Update"


def _lacking(observed: Observed, release: str, needs: Iterable[Body], operator: Settings) -> str:
    if "permissions" in observed.unknown:
        return ""
    lacking = permissions.missing(observed.held, needs, operator.namespace)
    return permissions.told(lacking, release) if lacking else ""


def _own(operator: Settings) -> InstallSettings:
    return InstallSettings(operator.namespace, operator.registry, operator.tag)
