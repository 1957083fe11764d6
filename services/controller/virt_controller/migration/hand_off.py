"""The hand-off of a guest to the handlers of both nodes, and how far they are. Pure; called by plan.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from virt_core.conventions import migration as convention
from virt_core.migration.migration import MigrationPhase
from virt_core.objects.meta import rfc3339
from virt_core.objects.patch import Operation, guarded_patch, status_patch
from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.migration_state import ABORT_SUCCEEDED, MigrationState

from virt_controller.actions import RecordEvent
from virt_controller.migration.actions import Action, PatchVmi, RecordVmiEvent
from virt_controller.migration.observe import Observed


def to_handlers(observed: Observed) -> tuple[Action, ...]:
    """One patch: migrationState is replaced, the target pod is active, the target's handler sees the machine."""
    vmi, source, target = observed.vmi, observed.source, observed.target
    assert vmi is not None and source is not None and target is not None and observed.settings is not None
    state = {
        "migrationUid": observed.job.metadata.uid,
        "sourceNode": source.spec.node_name,
        "sourcePod": source.metadata.name,
        "sourcePodUID": source.metadata.uid,
        "targetNode": target.spec.node_name,
        "targetPod": target.metadata.name,
        "targetPodUID": target.metadata.uid,
        "migrationConfiguration": observed.settings.to_builtins(),
        **({"migrationPolicyName": observed.policy} if observed.policy else {}),
    }
    active = {**vmi.status.active_pods, target.metadata.uid: target.spec.node_name}
    after = {**vmi.raw_status, "migrationState": state, "activePods": active}
    operations = [*_labelled(vmi, target.spec.node_name), *status_patch(vmi.metadata, vmi.raw_status, after)]
    message = f"Migration target pod is ready for migration by virt-handler on node {target.spec.node_name}"
    return PatchVmi(tuple(operations)), RecordVmiEvent(RecordEvent("SuccessfulHandOver", message))


def _labelled(vmi: VirtualMachineInstance, node: str) -> list[Operation]:
    meta = vmi.metadata
    before = {"labels": meta.labels} if meta.labels else {}
    after = {"labels": {**meta.labels, convention.TARGET_NODE_NAME: node}}
    return guarded_patch(meta, before, after, "metadata")


def abort_patch(vmi: VirtualMachineInstance) -> list[Operation]:
    """Requests that the handlers abort the migration."""
    state: dict[str, Any] = {**vmi.raw_status["migrationState"], "abortRequested": True}
    return status_patch(vmi.metadata, vmi.raw_status, {**vmi.raw_status, "migrationState": state})


def failure_patch(vmi: VirtualMachineInstance, reason: str, now: datetime, *, aborted: bool = False) -> list[Operation]:
    """Ends a migration whose target was never prepared."""
    moment = rfc3339(now)
    ended: dict[str, Any] = {
        "startTimestamp": moment,
        "endTimestamp": moment,
        "failed": True,
        "completed": True,
        "failureReason": reason,
        **({"abortRequested": True, "abortStatus": ABORT_SUCCEEDED} if aborted else {}),
    }
    state = {**vmi.raw_status["migrationState"], **ended}
    return status_patch(vmi.metadata, vmi.raw_status, {**vmi.raw_status, "migrationState": state})


PREPARING = (MigrationPhase.SCHEDULED, MigrationPhase.PREPARING_TARGET)
"""The phases from the moment at which the target pod runs."""


def phases(state: MigrationState) -> tuple[MigrationPhase, ...]:
    """The phases of a migration whose target is prepared, up to the one that it is in."""
    passed = [*PREPARING, MigrationPhase.TARGET_READY]
    if state.start_timestamp:
        passed.append(MigrationPhase.RUNNING)
    return tuple(passed)
