"""What handlers write into status.migrationState. Pure; called by source.py, target.py and execute.py.

Each handler writes its own keys, so such a patch tests the migration's UID only and never conflicts with writers of
other fields. The start of the copy and the end of a migration are decided once: they test the object's version.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from virt_core.conventions import events
from virt_core.objects.meta import rfc3339
from virt_core.objects.patch import Operation, guarded_patch, pointer
from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.migration_state import ABORT_FAILED, ABORT_SUCCEEDED, MigrationState, failure, failure_message

from virt_handler.machines.actions import PatchStatus, RecordEvent
from virt_handler.migration.report import MigrationReport

_AT = ("status", "migrationState")


def own_fields(vmi: VirtualMachineInstance, **fields: Any) -> list[Operation]:
    """The patch that sets these keys of the migration that the VMI has now; empty if they are set."""
    stored = _stored(vmi)
    changed = {key: value for key, value in fields.items() if stored.get(key) != value}
    if not changed:
        return []
    return [
        {"op": "test", "path": "/metadata/uid", "value": vmi.metadata.uid},
        {"op": "test", "path": pointer(*_AT, "migrationUid"), "value": stored.get("migrationUid", "")},
        *({"op": "add", "path": pointer(*_AT, key), "value": value} for key, value in changed.items()),
    ]


def started(
    vmi: VirtualMachineInstance,
    state: MigrationState,
    mode: str,
    now: datetime,
    *,
    switched: bool = False,
    progress: Mapping[str, Any] | None = None,
) -> list[Operation]:
    """The patch that reports since when the guest is copied, how, how far, and whether the source has given it up;
    empty if all of it is reported. The first one also tests the object's version: nobody has ended the migration."""
    further: dict[str, Any] = {"sourceSwitched": True} if switched else {}
    if progress is not None:
        further["progress"] = progress
    operations = own_fields(vmi, startTimestamp=state.start_timestamp or rfc3339(now), mode=mode, **further)
    return [_unchanged(vmi), *operations] if operations and not state.start_timestamp else operations


def failed(
    vmi: VirtualMachineInstance, state: MigrationState, reason: str, now: datetime
) -> tuple[PatchStatus, RecordEvent]:
    """The end of a migration after which the guest is still at the source, and its event."""
    fields = failure(state, reason, now)
    if state.abort_requested:
        fields["abortStatus"] = ABORT_SUCCEEDED
    event = RecordEvent(events.MIGRATED, failure_message(state, reason), warning=True)
    return PatchStatus(tuple(_ended(vmi, fields))), event


def abort_reason(report: MigrationReport) -> str:
    """failureReason of a migration that its source has aborted; KubeVirt's words for one that was canceled."""
    return "Live migration aborted " if report.canceled else (report.reason or "the source aborted the migration")


def arrived(vmi: VirtualMachineInstance, state: MigrationState, now: datetime) -> dict[str, Any]:
    """The whole migrationState once the guest is at the target. It overrules who took the target for lost."""
    moment = rfc3339(now)
    fields: dict[str, Any] = {
        "startTimestamp": state.start_timestamp or moment,
        "targetNodeDomainDetected": True,
        "targetNodeDomainReadyTimestamp": moment,
        "endTimestamp": moment,
        "completed": True,
    }
    if state.abort_requested:
        fields["abortStatus"] = ABORT_FAILED  # the request came too late
    kept = {key: value for key, value in _stored(vmi).items() if key not in ("failed", "failureReason")}
    return {**kept, **fields}


def _unchanged(vmi: VirtualMachineInstance) -> Operation:
    return {"op": "test", "path": "/metadata/resourceVersion", "value": vmi.metadata.resource_version}


def _stored(vmi: VirtualMachineInstance) -> Mapping[str, Any]:
    stored: Mapping[str, Any] = vmi.raw_status.get("migrationState") or {}
    return stored


def _ended(vmi: VirtualMachineInstance, fields: Mapping[str, Any]) -> list[Operation]:
    before = _stored(vmi)
    version = _unchanged(vmi)
    operations = guarded_patch(vmi.metadata, before, {**before, **fields}, *_AT)
    return operations if version in operations else [version, *operations]
