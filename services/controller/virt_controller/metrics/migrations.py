"""Metrics of migrations, with KubeVirt's names and labels. Pure; called by measure.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from prometheus_client.metrics_core import Metric
from virt_core.metrics.families import gauge, histogram
from virt_core.migration.migration import MigrationPhase, VirtualMachineInstanceMigration
from virt_core.objects.meta import seconds_until
from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.migration_state import MigrationState

from virt_controller.transitions import Transitions

_OUTDATED = (
    "Indication for the total number of VirtualMachineInstance workloads that are not running within the most"
    " up-to-date version of the virt-launcher environment."
)
_FROM_CREATION = "kubevirt_vmi_migration_phase_transition_time_from_creation_seconds"
_TRANSITIONS = "Histogram of VM migration phase transitions duration from creation time in seconds."
_RUNNING = (
    MigrationPhase.SCHEDULED,
    MigrationPhase.PREPARING_TARGET,
    MigrationPhase.TARGET_READY,
    MigrationPhase.RUNNING,
)
_PHASES = {
    "unset": (MigrationPhase.UNSET,),
    "pending": (MigrationPhase.PENDING,),
    "scheduling": (MigrationPhase.SCHEDULING,),
    "running": _RUNNING,
}
_EPOCH = datetime.fromtimestamp(0, UTC)
_NONE = "<none>"  # KubeVirt's


def families(
    migrations: Iterable[VirtualMachineInstanceMigration], vmis: Iterable[VirtualMachineInstance]
) -> list[Metric]:
    """Of all migrations, and of the last one of each guest."""
    jobs = list(migrations)
    return [
        *_in_phases(jobs),
        _ended("succeeded", MigrationPhase.SUCCEEDED, jobs),
        _ended("failed", MigrationPhase.FAILED, jobs),
        *_times(jobs, vmis),
    ]


def transition_families(seen: Transitions) -> list[Metric]:
    """How long migrations took from their creation to each phase."""
    return [histogram(_FROM_CREATION, _TRANSITIONS, seen.from_creation)]


def outdated_family(number: int) -> Metric:
    """How many guests have an outdated launcher."""
    return gauge("kubevirt_vmi_number_of_outdated", _OUTDATED, [({}, number)])


def _in_phases(jobs: Iterable[VirtualMachineInstanceMigration]) -> Iterator[Metric]:
    counts = Counter(job.status.phase for job in jobs)
    for name, phases in _PHASES.items():
        total, about = sum(counts[phase] for phase in phases), f"Number of current {name} migrations."
        yield gauge(f"kubevirt_vmi_migrations_in_{name}_phase", about, [({}, total)])


def _ended(name: str, phase: MigrationPhase, jobs: Iterable[VirtualMachineInstanceMigration]) -> Metric:
    found = [job for job in jobs if job.status.phase is phase]
    values = [
        ({"vmi": job.spec.vmi_name, "vmim": job.metadata.name, "namespace": job.metadata.namespace}, 1) for job in found
    ]
    return gauge(f"kubevirt_vmi_migration_{name}", f"Indicates if the VMI migration {name}.", values)


def _times(
    jobs: Iterable[VirtualMachineInstanceMigration], vmis: Iterable[VirtualMachineInstance]
) -> tuple[Metric, Metric]:
    """Of the last migration of each guest."""
    names = {job.metadata.uid: job.metadata.name for job in jobs}
    starts, ends = [], []
    for vmi in vmis:
        state, meta = vmi.status.migration_state, vmi.metadata
        if state is None:
            continue
        labels = {
            "node": vmi.status.node_name,
            "namespace": meta.namespace,
            "name": meta.name,
            "migration_name": names.get(state.migration_uid, _NONE),
        }
        if begun := int(seconds_until(state.start_timestamp, _EPOCH)):
            starts.append((labels, begun))
        if ended := int(seconds_until(state.end_timestamp, _EPOCH)):
            ends.append(({**labels, "status": _outcome(state)}, ended))
    start, end = ("The time at which the migration " + what for what in ("started.", "ended."))
    return (
        gauge("kubevirt_vmi_migration_start_time_seconds", start, starts),
        gauge("kubevirt_vmi_migration_end_time_seconds", end, ends),
    )


def _outcome(state: MigrationState) -> str:
    if not state.completed:
        return ""
    return "failed" if state.failed else "succeeded"
