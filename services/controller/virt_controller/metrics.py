"""virt-controller's metrics, in Prometheus' text format and with KubeVirt's names. Pure; called by app.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from virt_core.migration.migration import MigrationPhase, VirtualMachineInstanceMigration
from virt_core.objects.meta import seconds_until
from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.migration_state import MigrationState

_OUTDATED = (
    "Indication for the total number of VirtualMachineInstance workloads that are not running within the most"
    " up-to-date version of the virt-launcher environment."
)
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


@dataclass(frozen=True, slots=True)
class _Gauge:
    """A metric, and its values by labels."""

    name: str
    description: str
    values: tuple[tuple[Mapping[str, str], int], ...]

    def __str__(self) -> str:
        if not self.values:
            return ""
        head = f"# HELP {self.name} {self.description}\n# TYPE {self.name} gauge\n"
        return head + "".join(f"{self.name}{_labels(labels)} {value}\n" for labels, value in self.values)


def text(
    outdated: int | None,
    migrations: Iterable[VirtualMachineInstanceMigration] = (),
    vmis: Iterable[VirtualMachineInstance] = (),
) -> str:
    """All metrics. `outdated` is None in a replica that does not lead: only the leader counts, so that the sum over all
    replicas is right."""
    if outdated is None:
        return ""
    jobs = list(migrations)
    gauges = (
        _Gauge("kubevirt_vmi_number_of_outdated", _OUTDATED, (({}, outdated),)),
        *_in_phases(jobs),
        _ended("succeeded", MigrationPhase.SUCCEEDED, jobs),
        _ended("failed", MigrationPhase.FAILED, jobs),
        *_times(jobs, vmis),
    )
    return "".join(map(str, gauges))


def _in_phases(jobs: Iterable[VirtualMachineInstanceMigration]) -> Iterator[_Gauge]:
    counts = Counter(job.status.phase for job in jobs)
    for name, phases in _PHASES.items():
        total, about = sum(counts[phase] for phase in phases), f"Number of current {name} migrations."
        yield _Gauge(f"kubevirt_vmi_migrations_in_{name}_phase", about, (({}, total),))


def _ended(name: str, phase: MigrationPhase, jobs: Iterable[VirtualMachineInstanceMigration]) -> _Gauge:
    found = [job for job in jobs if job.status.phase is phase]
    values = [
        ({"vmi": job.spec.vmi_name, "vmim": job.metadata.name, "namespace": job.metadata.namespace}, 1) for job in found
    ]
    return _Gauge(f"kubevirt_vmi_migration_{name}", f"Indicates if the VMI migration {name}.", tuple(values))


def _times(
    jobs: Iterable[VirtualMachineInstanceMigration], vmis: Iterable[VirtualMachineInstance]
) -> tuple[_Gauge, _Gauge]:
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
        _Gauge("kubevirt_vmi_migration_start_time_seconds", start, tuple(starts)),
        _Gauge("kubevirt_vmi_migration_end_time_seconds", end, tuple(ends)),
    )


def _outcome(state: MigrationState) -> str:
    if not state.completed:
        return ""
    return "failed" if state.failed else "succeeded"


def _labels(labels: Mapping[str, str]) -> str:
    quoted = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{quoted}}}" if quoted else ""


def _escaped(value: str) -> str:
    """spec.vmiName of a migration that was admitted while no webhook was there may be any text."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
