"""Computes phase, conditions and versions of the KubeVirt object from observation and plan, last in a pass. Pure.

Meanings and reasons are KubeVirt's: `kubectl wait kv kubevirt --for condition=Available` works as with KubeVirt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
from virt_core.conventions.labels import RETRY_UPGRADE
from virt_core.conventions.suite_status import (
    EXISTING_DEPLOYMENT,
    FINALIZED,
    LEVEL_TOO_LOW,
    MISSING_PERMISSIONS,
    REMOVAL,
    ROLLBACK,
    UPGRADE_PAUSED,
    UPGRADE_STOPPED,
    WRONG_NAMESPACE,
)
from virt_core.objects.kubevirt import Generation, KubeVirtStatus
from virt_core.objects.meta import Condition, with_conditions
from virt_core.objects.upgrade_status import Stopped
from virt_core.objects.upgrade_steps import OPERATOR

from virt_operator.reconcile.availability import lasting
from virt_operator.reconcile.progress import outlasting, progress
from virt_operator.removal.plan import DELETED, nothing_left
from virt_operator.settings import Settings
from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite.actions import WaitFor
from virt_operator.suite.feature_gates import without_effect
from virt_operator.suite.observed import Observed, SuiteObject
from virt_operator.suite.plan import Plan
from virt_operator.suite.spec import RefusedSpec

_MOST = 1024  # characters of a message
FEATURE_GATES = "FeatureGatesSupported"
_CREATED = Condition("Created", "True", "AllResourcesCreated", "all objects are as desired")
_COUNTED = ("CustomResourceDefinition", "PodDisruptionBudget", "Deployment", "DaemonSet")


def status_of(
    suite: SuiteObject, observed: Observed, plan: Plan, operator: Settings, failure: str | None
) -> KubeVirtStatus:
    """The status to write; equal to the stored one if nothing changes.

    `failure` is the message of a failed pass.
    """
    old = suite.status
    if suite.metadata.deletion_timestamp is not None:
        return _removing(old, observed, plan, operator, failure)
    if plan.settings is None and plan.missing:
        return _lacking(old, old, observed, plan.missing)
    if plan.refused is not None:
        return _refused(old, observed, plan, plan.refused, failure)
    if plan.settings is None:
        return old if failure is None else _failed(old, observed, failure)
    settings = plan.settings
    new = msgspec.structs.replace(
        old,
        operator_version=operator.release,
        target_kube_virt_version=settings.tag,
        target_kube_virt_registry=settings.registry,
        target_deployment_id=settings.deployment_id,
        target_deployment_config=settings.to_json(),
        upgrade=progress(old, plan, observed.now),
    )
    if failure is not None:
        new = _failed(new, observed, failure)
    elif plan.stopped is not None:
        new = _stopped(new, observed, plan, plan.stopped)
    elif not plan.waits and not plan.actions and not lasting(observed):
        new = _ready(new, suite, settings, observed, plan)
    else:
        new = _in_progress(new, settings, observed, plan)
    new = _finalization(new, observed, plan)
    new = _lacking(old, new, observed, plan.barred, LEVEL_TOO_LOW) if plan.barred else new
    new = _lacking(old, new, observed, plan.missing) if plan.missing else new
    return _with_gates(new, suite, observed)


def patch_of(old: KubeVirtStatus, new: KubeVirtStatus) -> dict[str, Any]:
    """The merge patch from `old` to `new`. It names what leaves a map, which a merge patch keeps otherwise."""
    return _patch(msgspec.to_builtins(old), msgspec.to_builtins(new))


def _patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        before = old.get(key)
        patch[key] = _patch(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return patch


def _with_gates(new: KubeVirtStatus, suite: SuiteObject, observed: Observed) -> KubeVirtStatus:
    """`new` with a condition that lists feature gates without effect, if there are any."""
    gates = without_effect(suite.spec)
    if not gates:
        return _with(new, observed, (), drop={FEATURE_GATES})
    message = f"without effect, this release does not have these features: {', '.join(gates)}"[:_MOST]
    return _with(new, observed, [Condition(FEATURE_GATES, "False", "NotSupported", message)])


def second_object_status(other: SuiteObject, observed: Observed, operator: Settings) -> KubeVirtStatus:
    """The status of a KubeVirt object that is not active."""
    if observed.suite is not None:
        meta = observed.suite.metadata
        message = f"KubeVirt object {meta.namespace}/{meta.name} is there; this one is ignored"
        condition = Condition("Synchronized", "False", EXISTING_DEPLOYMENT, message)
    else:
        message = f"only a KubeVirt object in the operator's namespace {operator.namespace!r} is installed"
        condition = Condition("Synchronized", "False", WRONG_NAMESPACE, message)
    return _with(other.status, observed, [condition])


def _finalization(new: KubeVirtStatus, observed: Observed, plan: Plan) -> KubeVirtStatus:
    """`new` with the condition Finalized. At the end of a way back it goes: the older operator may not know it."""
    if not new.observed_deployment_id or (
        plan.operation == ROLLBACK and {wait.step for wait in plan.waits} == {OPERATOR}
    ):
        return _with(new, observed, (), drop={FINALIZED})
    if plan.finalization is not None:
        condition = Condition(FINALIZED, "False", plan.finalization.reason, plan.finalization.message[:_MOST])
    else:
        condition = Condition(FINALIZED, "True", FINALIZED, f"feature level {plan.level}; no roll back to a lower one")
    return _with(new, observed, [condition])


def _lacking(
    old: KubeVirtStatus, new: KubeVirtStatus, observed: Observed, missing: str, reason: str = MISSING_PERMISSIONS
) -> KubeVirtStatus:
    """`new` with what is missing for the change; the condition's time is kept from `old`."""
    others = [condition for condition in new.conditions if condition.type != "Synchronized"]
    kept = [condition for condition in old.conditions if condition.type == "Synchronized"]
    condition = Condition("Synchronized", "False", reason, missing[:_MOST])
    return _with(msgspec.structs.replace(new, conditions=[*others, *kept]), observed, [condition])


def _removing(
    old: KubeVirtStatus, observed: Observed, plan: Plan, operator: Settings, failure: str | None
) -> KubeVirtStatus:
    texts = _texts((*plan.waits, *plan.later))
    reason, message = "DeletionInProgress", "; ".join(texts) or "the suite is being removed"
    conditions = _three("False", "False", "True", reason, message)
    if failure is not None:
        conditions.append(Condition("Synchronized", "False", "DeletionFailed", failure[:_MOST]))
    phase = DELETED if nothing_left(observed, operator) and failure is None else "Deleting"
    dropped = {"Created"} | (set() if failure is not None else {"Synchronized"})
    spent = old.upgrade.finalized_by if old.upgrade is not None else ""
    kept = replace(plan, operation=REMOVAL, stopped=None, settings=None, way_back=old.way_back, level=old.level)
    kept = replace(kept, finalized_by=spent)
    upgrade = progress(old, kept, observed.now)
    new = _with(old, observed, conditions, drop=dropped)
    return msgspec.structs.replace(new, phase=phase, upgrade=upgrade)


def _failed(new: KubeVirtStatus, observed: Observed, failure: str) -> KubeVirtStatus:
    message = "; ".join((failure, *map(str, lasting(observed))))
    conditions = _three(_available(new, observed), "False", "True", "DeploymentFailed", message)
    conditions.append(Condition("Synchronized", "False", "DeploymentFailed", failure[:_MOST]))
    return msgspec.structs.replace(_with(new, observed, conditions), phase=new.phase or "Deploying")


def _refused(
    old: KubeVirtStatus, observed: Observed, plan: Plan, refused: RefusedSpec, failure: str | None
) -> KubeVirtStatus:
    """The spec is refused. The conditions of the installed release are still computed."""
    refusal = Condition("Synchronized", "False", refused.reason, str(refused))
    now = next((condition.reason for condition in old.conditions if condition.type == "Available"), "")
    if not old.observed_deployment_id:
        conditions = []
    elif failure is not None:
        conditions = _three(_available(old, observed), "False", "True", "DeploymentFailed", failure)
    elif lasting(observed) or (plan.waits and not plan.actions):
        conditions = _not_ready(old, observed, plan)
    elif now in ("ComponentsNotReady", "DeploymentFailed") and not plan.waits:
        conditions = _all_ready(plan)
    else:
        conditions = []
    return _with(old, observed, [*conditions, refusal])


def _ready(
    new: KubeVirtStatus, suite: SuiteObject, settings: InstallSettings, observed: Observed, plan: Plan
) -> KubeVirtStatus:
    return msgspec.structs.replace(
        _with(new, observed, [*_all_ready(plan), _CREATED], drop={"Synchronized"}),
        phase="Deployed",
        observed_kube_virt_version=settings.tag,
        observed_kube_virt_registry=settings.registry,
        observed_release=plan.release,
        observed_deployment_id=settings.deployment_id,
        observed_deployment_config=settings.to_json(),
        observed_generation=suite.metadata.generation,
        generations=_generations(observed),
        upgrade=outlasting(plan),
    )


def _generations(observed: Observed) -> list[Generation]:
    """The generations of all objects for which the API server counts them."""
    return [
        Generation(ref.resource.group, ref.resource.plural, ref.name, live.metadata.generation, ref.namespace)
        for ref, live in sorted(observed.owned.items())
        if live.metadata.generation and ref.kind in _COUNTED
    ]


def _in_progress(new: KubeVirtStatus, settings: InstallSettings, observed: Observed, plan: Plan) -> KubeVirtStatus:
    if not new.observed_deployment_id:
        conditions = _three("False", "True", "False", "DeploymentInProgress", _waiting(observed, plan))
        conditions += [_CREATED] if plan.created else []
        return msgspec.structs.replace(_with(new, observed, conditions, drop={"Synchronized"}), phase="Deploying")
    if new.observed_deployment_id != settings.deployment_id or plan.operation:
        available = _available(new, observed)
        if plan.paused:
            degraded = "True" if lasting(observed) else "False"
            conditions = _three(available, "False", degraded, UPGRADE_PAUSED, _waiting(observed, plan))
            return _with(new, observed, conditions, drop={"Created", "Synchronized"})
        conditions = _three(available, "True", "True", "UpdateInProgress", _waiting(observed, plan))
        return _with(new, observed, conditions, drop={"Created", "Synchronized"})
    if plan.actions and not lasting(observed):
        return new  # a repair; the next pass reports its result
    return _with(new, observed, [*_not_ready(new, observed, plan), _CREATED], drop={"Synchronized"})


def _stopped(new: KubeVirtStatus, observed: Observed, plan: Plan, stopped: Stopped) -> KubeVirtStatus:
    """A change that has failed its probes: the installed release comes back, or is back and goes on."""
    back = f"{new.observed_kube_virt_version} is back"
    if plan.operation:
        back = f"{new.observed_kube_virt_version} comes back: {_waiting(observed, plan)}"
    elif plan.waits or lasting(observed):
        back = f"{back}: {_waiting(observed, plan)}"
    message = (
        f"{stopped.operation.lower()} to {stopped.version} ({stopped.release}) has stopped at {stopped.component}: "
        f"{stopped.object} failed the probe {stopped.probe}: {stopped.message}; {back}; to try it again, set the "
        f"annotation {RETRY_UPGRADE} to another value"
    )
    progressing = "True" if plan.operation else "False"
    return _with(new, observed, _three(_available(new, observed), progressing, "True", UPGRADE_STOPPED, message))


def _all_ready(plan: Plan) -> list[Condition]:
    message = "; ".join(("all components are ready", *_texts(plan.later)))
    return _three("True", "False", "False", "AllComponentsReady", message)


def _not_ready(status: KubeVirtStatus, observed: Observed, plan: Plan) -> list[Condition]:
    available = _available(status, observed)
    return _three(available, "False", "True", "ComponentsNotReady", _waiting(observed, plan))


def _available(status: KubeVirtStatus, observed: Observed) -> str:
    """The status of Available: the installed release keeps serving during a change."""
    return "True" if status.observed_deployment_id and not lasting(observed) else "False"


def _three(available: str, progressing: str, degraded: str, reason: str, message: str) -> list[Condition]:
    states = (("Available", available), ("Progressing", progressing), ("Degraded", degraded))
    return [Condition(kind, status, reason, message[:_MOST]) for kind, status in states]


def _waiting(observed: Observed, plan: Plan) -> str:
    texts = (*map(str, lasting(observed)), *_texts((*plan.waits, *plan.later)))
    return "; ".join(dict.fromkeys(texts))


def _texts(waits: Iterable[WaitFor]) -> list[str]:
    return [f"{wait.what}: {wait.why}" for wait in waits]


def _with(
    status: KubeVirtStatus, observed: Observed, wanted: Iterable[Condition], drop: Iterable[str] = ()
) -> KubeVirtStatus:
    kept = [condition for condition in status.conditions if condition.type not in set(drop)]
    return msgspec.structs.replace(status, conditions=with_conditions(kept, wanted, observed.now))
