"""Plans what the handler does for the pod that a guest leaves. Pure; called by reconcile.py, executed by execute.py.

The handler may die between any two actions: each pass derives the next step from status.migrationState and from what
the launcher reports of the migration. An unknown report is never a reason to act.
"""

from __future__ import annotations

from datetime import datetime
from math import ceil
from typing import Any

from google.protobuf import duration_pb2
from kubevirt.launcher.v1 import migration_pb2, state_pb2
from virt_core.objects.meta import seconds_since, seconds_until
from virt_core.objects.migration_configuration import MigrationConfiguration
from virt_core.vmi.accepted import AcceptedSpec
from virt_core.vmi.instance import VmiPhase

from virt_handler.machines import status as machine_status
from virt_handler.machines.actions import AcknowledgeEnd, PatchStatus
from virt_handler.machines.guest_state import GuestState
from virt_handler.migration import status
from virt_handler.migration.actions import Action, CancelMigration, LookAgain, PublishIdentity, StartMigration
from virt_handler.migration.forwarding import forwarding
from virt_handler.migration.observe import ObservedSide
from virt_handler.migration.progress import progress
from virt_handler.migration.report import SWITCHED, MigrationReport, Progress

_ALIVE = (state_pb2.MACHINE_PHASE_RUNNING, state_pb2.MACHINE_PHASE_PAUSED)
_BEGUN = (Progress.COPYING, *SWITCHED, Progress.ABORTED)
# Seconds in which the launcher has to begin after its start was reported: nobody else ends the migration then.
_PATIENCE = 300.0
# Seconds in which the pod forwards after the hand-over; the controller deletes it after ten.
_FORWARDS = 2.0
_BILLION = 10**9  # KubeVirt's "GiB" of completionTimeoutPerGiB


def plan(side: ObservedSide, now: datetime) -> tuple[Action, ...]:
    """The actions of this side; empty while there is nothing to do for it."""
    vmi, guest = side.machine.vmi, side.machine.guest
    if guest is None or (guest.machine_uid and guest.machine_uid != vmi.metadata.uid):
        return ()
    # First: clients wait for it, and it needs no request to the API server.
    return (*forwarding(side), *_course(side, guest, now))


def _course(side: ObservedSide, guest: GuestState, now: datetime) -> tuple[Action, ...]:
    """From the hand-off to the end of the migration."""
    vmi, state, phase = side.machine.vmi, side.state, side.phase
    if state.succeeded:
        return _left(side, guest)
    if vmi.status.phase.final or state.completed:
        return _after_failure(side, guest, now)
    if side.report is not None and phase in _BEGUN:
        return _under_way(side, side.report, guest, now)
    if state.abort_requested:
        return (_cancel(side),) if phase is Progress.NOT_STARTED else ()
    return _next_step(side, now) if guest.phase in _ALIVE else ()


def _next_step(side: ObservedSide, now: datetime) -> tuple[Action, ...]:
    """On the way to the copy."""
    state = side.state
    if not state.source_certificate_authority:
        return _identity(side)
    ready = state.target_node_address and state.target_certificate_authority
    if ready and side.report is not None and side.report.progress is Progress.NOT_STARTED:
        # One of these is 0: the clock may have been set back since.
        if seconds_since(state.start_timestamp, now) + seconds_until(state.start_timestamp, now) > _PATIENCE:
            return (_cancel(side),)
        # In this order: while no start is reported, nothing is copied, and the controller may end the migration.
        return (*_patched(side, side.report.mode, now), StartMigration(_start(side)))
    return ()


def _under_way(side: ObservedSide, report: MigrationReport, guest: GuestState, now: datetime) -> tuple[Action, ...]:
    state = side.state
    if report.progress is Progress.ABORTED:
        return status.failed(side.machine.vmi, state, _why_aborted(side, report), now)
    if report.progress is Progress.COPYING and (state.abort_requested or side.target_is_gone):
        return (_cancel(side),)
    if report.progress in SWITCHED and has_left(guest) and side.target_is_gone:
        return _lost(side, now)
    switched = report.held_up or state.source_switched
    stored = (side.machine.vmi.raw_status.get("migrationState") or {}).get("progress") or {}
    shown = progress(stored, state.start_timestamp, report, now)
    return _patched(side, report.mode, now, switched=switched, shown=shown)


def _why_aborted(side: ObservedSide, report: MigrationReport) -> str:
    """The launcher knows only that it was canceled, not what for."""
    if not report.canceled or side.state.abort_requested:
        return status.abort_reason(report)
    if side.target_is_gone:
        return f"target pod {side.state.target_pod} has ended"
    return "the source's launcher did not begin the copy in time"


def has_left(guest: GuestState) -> bool:
    """Whether the guest is at the target for good."""
    return guest.phase == state_pb2.MACHINE_PHASE_MIGRATED or guest.end == state_pb2.MACHINE_END_MIGRATED


def _left(side: ObservedSide, guest: GuestState) -> tuple[Action, ...]:
    """The pod ends when Services should know the new one, and short requests that it has forwarded are answered."""
    if not has_left(guest):
        return ()
    if side.seconds_left < _FORWARDS:
        return (LookAgain(_FORWARDS - side.seconds_left),)
    return (AcknowledgeEnd(side.machine.vmi.metadata.uid, state_pb2.MACHINE_END_MIGRATED),)


def _after_failure(side: ObservedSide, guest: GuestState, now: datetime) -> tuple[Action, ...]:
    """The copy ends with the migration, whoever has ended it; the launcher forgets one that was not started."""
    vmi, report = side.machine.vmi, side.report
    if report is not None and report.progress is Progress.COPYING:
        return (_cancel(side),)
    if report is not None and report.progress is Progress.NOT_STARTED and not vmi.status.phase.final:
        return (_cancel(side),) if side.state.source_certificate_authority else ()
    return _lost(side, now) if has_left(guest) and not vmi.status.phase.final and side.target_is_gone else ()


def _lost(side: ObservedSide, now: datetime) -> tuple[Action, ...]:
    """The target had the guest, and ended before its handler reported the arrival."""
    reason = side.state.failure_reason or "its pod has ended"
    end = machine_status.End(VmiPhase.FAILED, "MigrationLostGuest", f"the guest ended with its target: {reason}")
    written = machine_status.ended(side.machine.vmi, end, now)
    return (PatchStatus(tuple(written)), machine_status.end_event(end))


def _cancel(side: ObservedSide) -> CancelMigration:
    """A target whose pod has ended runs nothing that arrived there: then the source need not wait for its answer."""
    return CancelMigration(side.state.migration_uid, target_ended=side.target_is_gone)


def _patched(
    side: ObservedSide, mode: str, now: datetime, *, switched: bool = False, shown: dict[str, Any] | None = None
) -> tuple[Action, ...]:
    operations = status.started(side.machine.vmi, side.state, mode, now, switched=switched, progress=shown)
    return (PatchStatus(tuple(operations)),) if operations else ()


def _identity(side: ObservedSide) -> tuple[Action, ...]:
    network = side.machine.network
    if network is None or not network.addresses:
        return ()
    request = migration_pb2.GetMigrationIdentityRequest(
        migration_uid=side.state.migration_uid,
        machine_uid=side.machine.vmi.metadata.uid,
        address=network.addresses[0],
    )
    return (PublishIdentity(request),)


def _start(side: ObservedSide) -> migration_pb2.StartMigrationRequest:
    state = side.state
    target = migration_pb2.MigrationTarget(
        address=state.target_node_address,
        certificate_authority=state.target_certificate_authority,
        ports=sorted(int(port) for port in state.target_direct_migration_node_ports if port.isdecimal()),
    )
    return migration_pb2.StartMigrationRequest(
        migration_uid=state.migration_uid,
        machine_uid=side.machine.vmi.metadata.uid,
        target=target,
        options=_options(side, state.migration_configuration.resolved()),
    )


def _options(side: ObservedSide, wanted: MigrationConfiguration) -> migration_pb2.MigrationOptions:
    return migration_pb2.MigrationOptions(
        bandwidth_bytes_per_second=wanted.bandwidth_bytes,
        auto_converge=bool(wanted.allow_auto_converge),
        post_copy=bool(wanted.allow_post_copy),
        allow_workload_disruption=bool(wanted.allow_workload_disruption),
        unsafe=bool(wanted.unsafe_migration_override),
        tls=not wanted.disable_tls,
        completion_timeout=_seconds((wanted.completion_timeout_per_gib or 0) * _billions(side)),
        progress_timeout=_seconds(wanted.progress_timeout or 0),
    )


def _billions(side: ObservedSide) -> int:
    """Bytes that are copied, in units of 10^9, rounded up: memory, and disks as the launcher reports them."""
    spec = side.machine.spec
    memory = spec.memory_bytes if isinstance(spec, AcceptedSpec) else 0
    return ceil((memory + sum(side.state.source_disks.values())) / _BILLION)


def _seconds(seconds: int) -> duration_pb2.Duration:
    return duration_pb2.Duration(seconds=seconds)
