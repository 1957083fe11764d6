"""Plans a pass from the observation. All decisions start here. Pure.

Called by the reconciler in each pass; execute.py executes the plan, status.py reports it. Every pass starts from the
cluster's state, so a crash only delays the next pass. The steps are in steps.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from msgspec import structs
from virt_core.conventions.webhooks import OPERATOR_VALIDATOR

from virt_operator.change import renewals, stopping, strategies, way_back
from virt_operator.change.finalize import in_progress
from virt_operator.change.ledger import reviewed
from virt_operator.change.objects import next_repair
from virt_operator.change.situation import PAUSED_BY, Progress, Situation, lacking
from virt_operator.change.steps import BACKWARD, CERTIFICATES, FORWARD, OBJECTS_BACKWARD, walk
from virt_operator.change.strategies import Search
from virt_operator.customization.customize import customized, standing
from virt_operator.customization.patches import Patch, patches_of
from virt_operator.removal.plan import plan_removal
from virt_operator.settings import Settings
from virt_operator.strategy.install_strategy import InstallStrategy
from virt_operator.strategy.operator_rbac import operator_rbac
from virt_operator.strategy.ref import DEFINED, Body
from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite.actions import Delete, WaitFor
from virt_operator.suite.observed import Observed, SuiteObject
from virt_operator.suite.plan import Plan
from virt_operator.suite.spec import RefusedSpec, deploys_common_instancetypes, install_settings
from virt_operator.suite.upgrade_strategy import finalizing_of, pace_of


def plan(observed: Observed, operator: Settings) -> Plan:
    """Install, repair, change the release, remove, or do nothing."""
    suite = observed.suite
    if suite is None:
        return with_upkeep(observed, Plan(), operator)
    if observed.unknown:
        own = InstallSettings(operator.namespace, operator.registry, operator.tag)
        missing = lacking(observed, operator.release, operator_rbac(own), operator)
        return with_upkeep(observed, Plan(missing=missing), operator)
    if suite.metadata.deletion_timestamp is not None:
        return with_upkeep(observed, plan_removal(observed, suite, operator), operator)
    try:
        requested, patches = install_settings(suite.spec, operator), patches_of(suite.spec)
        return _towards(_situation(observed, suite, operator, requested, patches), requested, patches)
    except RefusedSpec as refused:
        repairs, due = _repairs(Situation(observed, suite, operator, Search(None), None), None)
        return Plan(repairs.actions, repairs.waits, repairs.later, refused=refused, next_deadline=due)


def with_upkeep(observed: Observed, decided: Plan, operator: Settings) -> Plan:
    """`decided` plus any certificate renewals that are due. Other plans ignore certificates, but a removal can take
    days and they must not expire."""
    actions, deadline = renewals.upkeep(observed, operator.namespace)
    deadlines = [moment for moment in (decided.next_deadline, deadline) if moment is not None]
    return replace(decided, actions=(*decided.actions, *actions), next_deadline=min(deadlines, default=None))


def _situation(
    observed: Observed, suite: SuiteObject, operator: Settings, requested: InstallSettings, patches: Sequence[Patch]
) -> Situation:
    stopped = stopping.standing(suite, requested)
    settings = stopping.coming_back(suite, requested) if stopped is not None else requested
    search = strategies.search(observed, settings)
    if search.strategy is not None:
        objects = customized(_wanted(search.strategy, suite), patches)
        search = replace(search, strategy=structs.replace(search.strategy, objects=objects))
    return Situation(
        observed, suite, operator, search, settings, pace_of(suite.spec), finalizing_of(suite.spec), stopped
    )


def _wanted(strategy: InstallStrategy, suite: SuiteObject) -> list[Body]:
    """The objects of a release without those that the KubeVirt object leaves out."""
    bundle = deploys_common_instancetypes(suite.spec)
    return [body for body in strategy.objects if bundle or body["kind"] not in DEFINED]


def _towards(situation: Situation, requested: InstallSettings, patches: Sequence[Patch]) -> Plan:
    observed = situation.observed
    forward = situation.ordered and not situation.backward
    walked = walk(FORWARD if forward else BACKWARD, situation)
    actions, waits = walked.progress.actions, walked.progress.waits
    if walked.stopped_at in (None, CERTIFICATES):
        due = situation.due.next_deadline
    else:
        repairs, due = _repairs(situation, patches)
        actions = (*repairs.actions, *actions)
    deadlines = (due, next_repair(observed), walked.progress.deadline)
    found, back = situation.search.strategy, walked.progress.way_back or situation.way_back
    back = None if walked.progress.way_back_ends else back
    review = reviewed(situation, back) if back is not None else Progress()
    actions, back = (*actions, *review.actions), review.way_back or back
    if observed.webhook_trouble is not None:
        why = f"the API server cannot reach it: {observed.webhook_trouble}"
        waits = (*waits, WaitFor(f"ValidatingWebhookConfiguration {OPERATOR_VALIDATOR}", why))
    return Plan(
        actions,
        waits,
        walked.progress.later,
        requested,
        release=found.release if found is not None else "",
        created=walked.stopped_at is None and not any(state.difference for state in situation.objects),
        next_deadline=min(filter(None, (*deadlines, review.deadline)), default=None),
        operation=situation.operation,
        wave=walked.progress.wave,
        stopped=situation.stopped or walked.progress.stopped,
        paused=situation.held if any(PAUSED_BY in wait.why for wait in waits) else "",
        way_back=back,
        level=way_back.level(situation, back),
        finalized_by=way_back.spent(situation, back),
        finalization=walked.progress.finalization or (in_progress(back) if back is not None else None),
        barred=way_back.refusal(situation) if found is not None else "",
        missing=situation.lacking if found is not None else "",
    )


def _repairs(situation: Situation, patches: Sequence[Patch] | None) -> tuple[Progress, datetime | None]:
    """Repair the installed strategy, at least its certificates, while another one is requested; and when the next
    certificate is due. Changes no customization and deletes no installed object."""
    installed = strategies.observed_strategy(situation.observed)
    if installed is not None:
        objects = standing(_wanted(installed, situation.suite), patches, situation.observed.owned)
        installed = structs.replace(installed, objects=objects)
    repairing = replace(situation, search=Search(installed), settings=None)
    whole = installed is not None and not repairing.ordered
    progress = walk(OBJECTS_BACKWARD if whole else (CERTIFICATES,), repairing).progress
    actions = tuple(action for action in progress.actions if not isinstance(action, Delete))
    due = min(filter(None, (progress.deadline, repairing.due.next_deadline)), default=None)
    return replace(progress, actions=actions), due
