"""Finds the install strategy of the requested release in its ConfigMap, or has it printed by a Job with that release's
operator image. Pure; called by change/plan.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from virt_operator.change import rollout
from virt_operator.strategy import install_strategy
from virt_operator.strategy.desired import STRATEGY_IDENTIFIER
from virt_operator.strategy.install_strategy import BadStrategy, InstallStrategy
from virt_operator.strategy.job import APP, strategy_job
from virt_operator.strategy.ref import Ref
from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite.actions import Action, Apply, Delete, WaitFor
from virt_operator.suite.observed import Observed, OwnedObject


@dataclass(frozen=True, slots=True)
class Search:
    """The install strategy if it has been printed, otherwise the actions that print it."""

    strategy: InstallStrategy | None
    actions: tuple[Action, ...] = ()
    waits: tuple[WaitFor, ...] = ()


def search(observed: Observed, settings: InstallSettings) -> Search:
    """The strategy of `settings`."""
    name = install_strategy.name_of(settings.deployment_id)
    config_map = Ref("ConfigMap", settings.namespace, name)
    job = Ref("Job", settings.namespace, name)
    kept, printing = observed.owned.get(config_map), observed.owned.get(job)
    problem = "its Job has not written it yet"
    actions: list[Action] = []
    if kept is not None:
        try:
            strategy = _read(kept.data.get(install_strategy.KEY, ""), settings.deployment_id)
        except BadStrategy as error:
            problem = str(error)
            actions.append(Delete(config_map, kept.metadata.uid, problem))
        else:
            return Search(strategy, _finished(job, printing))
    if printing is None:
        actions.append(Apply(job, strategy_job(settings), "absent"))
    elif kept is not None or _complete(printing):
        # The Job is complete, but its ConfigMap is gone: print it again.
        actions += _deleted(job, printing, "its ConfigMap is gone or damaged")
    trouble = rollout.trouble(rollout.pods_of(APP, observed.pods), _refusals(printing))
    return Search(None, tuple(actions), (WaitFor(str(config_map), problem + trouble),))


def observed_strategy(observed: Observed) -> InstallStrategy | None:
    """The strategy that was installed last, if its ConfigMap still exists."""
    assert observed.suite is not None
    return strategy_of(observed, observed.suite.status.observed_deployment_id)


def strategy_of(observed: Observed, deployment_id: str) -> InstallStrategy | None:
    """The strategy of that ID, if its ConfigMap exists."""
    for ref, live in observed.owned.items():
        if ref.kind == "ConfigMap" and live.metadata.annotations.get(STRATEGY_IDENTIFIER) == deployment_id:
            return read(live, deployment_id)
    return None


def read(config_map: OwnedObject, deployment_id: str) -> InstallStrategy | None:
    """The strategy of that ID in its ConfigMap; None if that is damaged."""
    try:
        return _read(config_map.data.get(install_strategy.KEY, ""), deployment_id)
    except BadStrategy:
        return None


@lru_cache(maxsize=3)  # the installed and the requested strategy, and that of the way back: some hundred kilobytes each
def _read(text: str, deployment_id: str) -> InstallStrategy:
    return install_strategy.from_config_map(text, deployment_id)


def _refusals(job: OwnedObject | None) -> list[str]:
    """Why the Job's pods are not created, or why it has given up."""
    found = [job.condition(kind) for kind in ("ReplicaFailure", "Failed")] if job is not None else []
    return [str(condition.get("message", "")) for condition in found if condition.get("status") == "True"]


def _complete(job: OwnedObject) -> bool:
    return job.condition("Complete").get("status") == "True"


def _finished(ref: Ref, job: OwnedObject | None) -> tuple[Action, ...]:
    return _deleted(ref, job, "its strategy is there") if job is not None and _complete(job) else ()


def _deleted(ref: Ref, job: OwnedObject, why: str) -> tuple[Action, ...]:
    return () if job.metadata.deletion_timestamp is not None else (Delete(ref, job.metadata.uid, why),)
