"""The end of a migration: why it failed, and what is cleaned up after it. Pure; called by plan.py and follow.py."""

from __future__ import annotations

from virt_core.conventions import migration as convention
from virt_core.migration.migration import MigrationPhase
from virt_core.objects.meta import Condition
from virt_core.objects.patch import finalizers_patch, status_patch
from virt_core.vmi.migration_state import record

from virt_controller.actions import RecordEvent
from virt_controller.migration import status
from virt_controller.migration.actions import Action, DeleteMigration, DeleteTarget, PatchMetadata, PatchStatus
from virt_controller.migration.observe import Observed
from virt_controller.pod.observed import LauncherPod
from virt_controller.pod.target import target_pod_name

CANCELED = "Migration failed due to being canceled"
_KEPT = 5  # finished migrations of a VirtualMachineInstance, KubeVirt's


def fail(observed: Observed, message: str, *, canceled: bool = False) -> tuple[Action, ...]:
    """The phase Failed, with the reason in a condition and an event; then the target pod goes."""
    job, now = observed.job, observed.now
    after = status.entering(job, (MigrationPhase.FAILED,), now)
    after = status.with_condition(job, Condition(status.FAILURE, "True", "FailedMigration", message), now, after)
    if canceled:
        condition = Condition(status.ABORT_REQUESTED, "True", "Canceled", "the migration is deleted")
        after = status.with_condition(job, condition, now, after)
    if observed.state is not None and observed.vmi is not None:
        after["migrationState"] = record(observed.vmi.raw_status["migrationState"])
    return (*patched(observed, after), RecordEvent("FailedMigration", message, warning=True))


def finish(observed: Observed) -> tuple[Action, ...]:
    """The migration is over: a target pod without a guest goes, then what is too old, then the finalizer. After the
    hand-off the pod is the handlers' and vmi/'s, as long as there is a guest."""
    job, pod, vmi = observed.job, observed.target, observed.vmi
    failed = job.status.phase is MigrationPhase.FAILED
    if failed and pod is not None and not pod.ended and not _is_handed_off(observed, pod):
        return () if pod.metadata.deletion_timestamp else (DeleteTarget(pod.metadata.name, pod.metadata.uid),)
    meta = job.metadata
    if convention.FINALIZER in meta.finalizers:
        kept = [finalizer for finalizer in meta.finalizers if finalizer != convention.FINALIZER]
        return (*_collect(observed), PatchMetadata(tuple(finalizers_patch(meta, kept)), _unseen_target(observed)))
    # As in KubeVirt, migrations go with their machine.
    return (DeleteMigration(meta.name, meta.uid),) if vmi is None and not observed.canceled else ()


def _is_handed_off(observed: Observed, pod: LauncherPod) -> bool:
    """Whether the guest may be in the pod, also if it has arrived by a migration that failed and is moving on."""
    vmi = observed.vmi
    if vmi is None or vmi.status.phase.final:
        return False
    return observed.state is not None or pod.metadata.uid in vmi.status.active_pods


def _unseen_target(observed: Observed) -> str:
    """The name of the target pod that a cache which is behind may lack. Without the migration nobody would delete it,
    and it would keep the guest from migrating."""
    job = observed.job
    failed = job.status.phase is MigrationPhase.FAILED and observed.state is None
    created = failed and bool(job.status.entered(MigrationPhase.SCHEDULING))
    if observed.vmi is None or observed.target is not None or not created:
        return ""
    return target_pod_name(job.spec.vmi_name, job.metadata.uid)


def _collect(observed: Observed) -> tuple[Action, ...]:
    """Delete the oldest finished migrations of the same guest; each that ends does it once."""
    if observed.canceled:
        return ()
    final = [other for other in observed.others if other.status.phase.final]
    final = [other for other in final if other.metadata.deletion_timestamp is None]
    surplus = max(0, len(final) + 1 - _KEPT)
    return tuple(DeleteMigration(other.metadata.name, other.metadata.uid) for other in final[:surplus])


def patched(observed: Observed, after: status.Status) -> tuple[Action, ...]:
    """The patch to this status; empty if nothing changes."""
    operations = status_patch(observed.job.metadata, observed.job.raw_status, after)
    return (PatchStatus(tuple(operations)),) if operations else ()
