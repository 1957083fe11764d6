"""Plans which guests get this release's launcher next. Pure.

Only when the suite is as its KubeVirt object asks. A guest whose launcher is outdated is migrated if that method is
listed and it can be, else evicted if that one is; the strategy of a guest that forbids its eviction is respected. What
could not be moved is left alone, the longer it has failed the longer, and says why in one condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from virt_core.conventions.conditions import WORKLOAD_UPDATE_BLOCKED
from virt_core.conventions.migration import NEVER, WORKLOAD_UPDATE, WORKLOAD_UPDATE_POLICY, WORKLOAD_UPDATE_WINDOW
from virt_core.migration.admission import SYSTEM_CRITICAL
from virt_core.migration.migration import MigrationPhase, VirtualMachineInstanceMigration
from virt_core.objects.meta import Condition, seconds_since, seconds_until
from virt_core.vmi import eviction
from virt_core.vmi.eviction import eviction_strategy, is_migratable, live_migratable, why_not_migratable

from virt_controller.actions import LookAgain
from virt_controller.migration.request import request
from virt_controller.workload_update.actions import Action, CreateMigration, DeleteMigration, Evict, PatchVmi
from virt_controller.workload_update.observe import EVICT, LIVE_MIGRATE, Observed, Workload
from virt_controller.workload_update.status import is_reported, vmi_patch
from virt_controller.workload_update.window import is_open

_PREFIX = "kubevirt-workload-update-"  # as in KubeVirt
_AGAIN = 5.0  # seconds until the next look while launchers are outdated, KubeVirt's
_RETRY_FIRST, _RETRY_LAST = 60.0, 6 * 3600.0  # seconds after a failed migration


def plan(observed: Observed) -> tuple[Action, ...]:
    """The next actions, what is reported last; empty if no launcher is outdated."""
    outdated = [workload for workload in observed.workloads if observed.outdated(workload)]
    kept = {workload.vmi.key: found for workload in outdated if (found := _kept_back(observed, workload)) is not None}
    due = [found for found in outdated if not (found.moves or found.vmi.key in kept or _rests(observed, found))]
    acts = observed.settled and bool(observed.strategy.methods)
    chosen = (*_migrations(observed, due), *_evictions(observed, due)) if acts else ()
    withdrawn = tuple(_withdrawn(observed)) if observed.settled else ()
    failed = {workload.vmi.key: found for workload in outdated if (found := _failed(workload)) is not None}
    reports = tuple(_reports(observed, {**failed, **kept} if acts else {}))
    again = (LookAgain(_AGAIN),) if acts and outdated else ()
    return (*withdrawn, *chosen, *reports, *again)


def count(observed: Observed) -> int:
    """How many launchers are outdated, for the KubeVirt object's status and the metric."""
    return sum(map(observed.outdated, observed.workloads))


def _withdrawn(observed: Observed) -> Iterable[DeleteMigration]:
    """Requests for guests whose launcher is not outdated, or not any more: the suite was rolled back."""
    for workload in observed.workloads:
        if not workload.runs or not workload.image or observed.outdated(workload):
            continue
        for migration in workload.migrations:
            meta = migration.metadata
            requested = WORKLOAD_UPDATE in meta.annotations and meta.deletion_timestamp is None
            if requested and not migration.status.phase.final and not _has_arrived(workload, meta.uid):
                yield DeleteMigration(workload.vmi, meta.name, meta.uid)


def _has_arrived(workload: Workload, migration_uid: str) -> bool:
    """Whether the migration is about to be final."""
    state = workload.vmi.status.migration_state
    if state is None or state.migration_uid != migration_uid:
        return False
    return state.completed or state.target_node_domain_ready_timestamp is not None


def _migrations(observed: Observed, due: list[Workload]) -> tuple[CreateMigration, ...]:
    """As many as may run beside those that do; those that failed before last."""
    free = max(0, observed.parallel_migrations - observed.running_migrations)
    moving = sorted((workload for workload in due if _migrates(observed, workload)), key=_urgency)
    return tuple(CreateMigration(workload.vmi, _manifest(workload)) for workload in moving[:free])


def _evictions(observed: Observed, due: list[Workload]) -> tuple[Evict, ...]:
    """A batch, if the last one was long enough ago."""
    if observed.since_batch < observed.strategy.batch_interval or EVICT not in observed.strategy.methods:
        return ()
    leaving = sorted((found for found in due if not _migrates(observed, found) and found.pod), key=_urgency)
    return tuple(Evict(workload.vmi, workload.pod) for workload in leaving[: max(0, observed.strategy.batch_size)])


def _migrates(observed: Observed, workload: Workload) -> bool:
    return LIVE_MIGRATE in observed.strategy.methods and is_migratable(workload.vmi)


def _urgency(workload: Workload) -> tuple[int, str, tuple[str, str]]:
    meta = workload.vmi.metadata
    return len(_failures(workload)), meta.creation_timestamp, workload.vmi.key


def _reports(observed: Observed, why: Mapping[tuple[str, str], tuple[str, str]]) -> Iterable[PatchVmi]:
    """`why` has reason and message of what keeps a launcher from being replaced, by the key of its guest."""
    for workload in observed.workloads:
        if not workload.runs:
            continue
        found = why.get(workload.vmi.key)
        if found is None and not observed.outdated(workload) and not is_reported(workload.vmi):
            continue
        blocked = Condition(WORKLOAD_UPDATE_BLOCKED, "True", *found) if found is not None else None
        if operations := vmi_patch(observed, workload, blocked):
            yield PatchVmi(workload.vmi, tuple(operations))


def _kept_back(observed: Observed, workload: Workload) -> tuple[str, str] | None:
    """Reason and message if the launcher may not or cannot be replaced now."""
    if workload.refusal:
        return "InvalidAnnotation", workload.refusal
    return _refused_by_user(observed, workload) or _impossible(observed, workload)


def _refused_by_user(observed: Observed, workload: Workload) -> tuple[str, str] | None:
    annotations = workload.vmi.metadata.annotations
    policy, window = annotations.get(WORKLOAD_UPDATE_POLICY, ""), annotations.get(WORKLOAD_UPDATE_WINDOW, "")
    if policy == NEVER:
        return "OptedOut", f"annotation {WORKLOAD_UPDATE_POLICY} is {NEVER}: restart the guest for a new launcher"
    if policy:
        return "InvalidAnnotation", f"{WORKLOAD_UPDATE_POLICY}: {policy[:80]!r} is not allowed, use {NEVER}"
    try:
        if window and not is_open(window, observed.now):
            return "OutsideWindow", f"waiting for the hours {window} UTC of annotation {WORKLOAD_UPDATE_WINDOW}"
    except ValueError as error:
        return "InvalidAnnotation", f"{WORKLOAD_UPDATE_WINDOW}: {error}"
    return None


def _impossible(observed: Observed, workload: Workload) -> tuple[str, str] | None:
    vmi, methods = workload.vmi, observed.strategy.methods
    if _migrates(observed, workload):
        return None
    if LIVE_MIGRATE in methods and live_migratable(vmi) is None:
        return "NotYetKnown", "whether the guest can be migrated is not known yet"
    why = why_not_migratable(vmi)
    if EVICT not in methods:
        return "NotLiveMigratable", f"the guest cannot be migrated: {why}"
    if eviction_strategy(vmi) == eviction.LIVE_MIGRATE and not is_migratable(vmi):
        return "EvictionForbidden", f"the guest cannot be migrated, and evictionStrategy forbids its eviction: {why}"
    return None


def _failed(workload: Workload) -> tuple[str, str] | None:
    """Reported until the launcher is replaced, also during the next attempt."""
    failures = _failures(workload)
    if not failures:
        return None
    last = failures[-1]
    reason = last.status.failure_reason
    return "MigrationFailed", f"migration {last.metadata.name} failed, it is tried again later: {reason}"


def _rests(observed: Observed, workload: Workload) -> bool:
    """Whether it is too early for another attempt: after a failure, as long again as there have been failures."""
    failures = _failures(workload)
    if failures and seconds_until(_ended_at(failures[-1]), observed.now) > _RETRY_FIRST:
        return False  # written by a leader whose clock is ahead, or before this one's was set back
    ages = [seconds_since(_ended_at(failure), observed.now) for failure in failures]
    return bool(ages) and ages[-1] < max(_RETRY_FIRST, min(ages[0] - ages[-1], _RETRY_LAST))


def _ended_at(migration: VirtualMachineInstanceMigration) -> str:
    return migration.status.entered(MigrationPhase.FAILED) or migration.metadata.creation_timestamp


def _failures(workload: Workload) -> list[VirtualMachineInstanceMigration]:
    """Failed migrations for an update since the last one that succeeded."""
    found: list[VirtualMachineInstanceMigration] = []
    for migration in workload.migrations:
        if migration.status.phase is MigrationPhase.SUCCEEDED:
            found.clear()
        elif migration.status.phase is MigrationPhase.FAILED and WORKLOAD_UPDATE in migration.metadata.annotations:
            found.append(migration)
    return found


def _manifest(workload: Workload) -> dict[str, Any]:
    marks = {WORKLOAD_UPDATE: ""}
    return request(workload.vmi, workload.migrations, prefix=_PREFIX, annotations=marks, priority=SYSTEM_CRITICAL)
