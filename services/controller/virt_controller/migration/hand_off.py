"""The hand-off of a guest to the handlers of both nodes, and how far they are. Pure; called by scheduling.py and
follow.py."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from virt_core.conventions import migration as convention
from virt_core.migration.migration import MigrationPhase, VirtualMachineInstanceMigration
from virt_core.objects.meta import seconds_since, seconds_until
from virt_core.objects.patch import Operation, guarded_patch, status_patch
from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.migration_state import ABORT_SUCCEEDED, MigrationState, failure, without_expected_end

from virt_controller.actions import RecordEvent
from virt_controller.migration.actions import Action, PatchVmi
from virt_controller.migration.observe import Observed
from virt_controller.migration.target import is_running_since

# Seconds. A handler that is replaced is back within one minute; each of its calls of a launcher has at most that long.
_PATIENCE = 300.0
# Handlers usually begin the copy within this time of the target's start. Then the phases before it are noted with it.
_USUAL = 5.0


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
    return PatchVmi(tuple(operations)), RecordEvent("SuccessfulHandOver", message)


def _labelled(vmi: VirtualMachineInstance, node: str) -> list[Operation]:
    meta = vmi.metadata
    before = {"labels": meta.labels} if meta.labels else {}
    after = {"labels": {**meta.labels, convention.TARGET_NODE_NAME: node}}
    return guarded_patch(meta, before, after, "metadata")


def abort_patch(vmi: VirtualMachineInstance) -> list[Operation]:
    """Requests that the handlers abort the migration."""
    return _state_patch(vmi, {**vmi.raw_status["migrationState"], "abortRequested": True})


def expectation_patch(vmi: VirtualMachineInstance) -> list[Operation]:
    """Takes back the end that was expected of a copy; the handler expects another one with its next progress."""
    return _state_patch(vmi, without_expected_end(vmi.raw_status["migrationState"]))


def failure_patch(
    vmi: VirtualMachineInstance, state: MigrationState, reason: str, now: datetime, *, aborted: bool = False
) -> list[Operation]:
    """Ends a migration whose copy was never started."""
    ended = failure(state, reason, now)
    if aborted:
        ended |= {"abortRequested": True, "abortStatus": ABORT_SUCCEEDED}
    return _state_patch(vmi, {**vmi.raw_status["migrationState"], **ended})


def _state_patch(vmi: VirtualMachineInstance, state: Mapping[str, Any]) -> list[Operation]:
    return status_patch(vmi.metadata, vmi.raw_status, {**vmi.raw_status, "migrationState": state})


def phases(state: MigrationState) -> tuple[MigrationPhase, ...]:
    """The phases of a migration whose target pod runs, or is prepared, up to the one that it is in."""
    passed = [MigrationPhase.SCHEDULED, MigrationPhase.PREPARING_TARGET]
    if state.target_node_address:
        passed.append(MigrationPhase.TARGET_READY)
    if state.start_timestamp:
        passed.append(MigrationPhase.RUNNING)
    return tuple(passed)


def seconds_unnoted(observed: Observed) -> float:
    """How long the phases before the copy need no write of their own."""
    started = is_running_since(observed.target) if observed.target is not None else ""
    since = seconds_since(started, observed.now)
    usual = 0 < since + seconds_until(started, observed.now) < _USUAL  # 0: no time; a node's clock may be ahead
    noted = observed.job.status.phase is not MigrationPhase.SCHEDULING or observed.job.status.conditions
    return _USUAL - since if usual and not noted else 0.0


def seconds_left(job: VirtualMachineInstanceMigration, now: datetime) -> float:
    """How long the handlers may still take from a target pod that runs to the start of the copy."""
    return _PATIENCE - seconds_since(job.status.entered(MigrationPhase.PREPARING_TARGET), now)


def who_is_late(state: MigrationState) -> str:
    """Which handler has not done its part of the preparation in time."""
    node, part = state.source_node, "started the copy"
    if not state.source_certificate_authority:
        part = "reported the source's identity"
    elif not state.target_node_address:
        node, part = state.target_node, "prepared the target"
    return f"virt-handler on node {node} has not {part} within {_PATIENCE:.0f} s"
