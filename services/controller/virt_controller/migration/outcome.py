"""The end of a migration: why it failed, and what is cleaned up after it. Pure; called by plan.py and follow.py."""

from __future__ import annotations

from virt_core.conventions import migration as convention
from virt_core.migration.migration import MigrationPhase
from virt_core.objects.meta import Condition
from virt_core.objects.patch import finalizers_patch, status_patch

from virt_controller.actions import RecordEvent
from virt_controller.migration import status
from virt_controller.migration.actions import Action, DeleteMigration, DeleteTarget, PatchMetadata, PatchStatus
from virt_controller.migration.observe import Observed

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
        after["migrationState"] = observed.vmi.raw_status["migrationState"]
    return (*patched(observed, after), RecordEvent("FailedMigration", message, warning=True))


def finish(observed: Observed) -> tuple[Action, ...]:
    """The migration is over: a target pod without a guest goes, then what is too old, then the finalizer. After the
    hand-off the pod is the handlers' and vmi/'s, as long as there is a guest."""
    job, pod, vmi = observed.job, observed.target, observed.vmi
    handed_off = observed.state is not None and vmi is not None and not vmi.status.phase.final
    if job.status.phase is MigrationPhase.FAILED and pod is not None and not pod.ended and not handed_off:
        return () if pod.metadata.deletion_timestamp else (DeleteTarget(pod.metadata.name, pod.metadata.uid),)
    meta = job.metadata
    if convention.FINALIZER in meta.finalizers:
        kept = [finalizer for finalizer in meta.finalizers if finalizer != convention.FINALIZER]
        return (*_collect(observed), PatchMetadata(tuple(finalizers_patch(meta, kept))))
    # As in KubeVirt, migrations go with their machine.
    return (DeleteMigration(meta.name, meta.uid),) if vmi is None and not observed.canceled else ()


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
