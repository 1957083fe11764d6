"""A migration that was handed off: how far the handlers are, and its cancel. Pure; called by plan.py."""

from __future__ import annotations

from virt_core.migration.migration import MigrationPhase
from virt_core.objects.meta import Condition

from virt_controller.actions import RecordEvent
from virt_controller.migration import hand_off, status, target
from virt_controller.migration.actions import Action, PatchVmi, RecordVmiEvent
from virt_controller.migration.observe import Observed
from virt_controller.migration.outcome import CANCELED, fail, patched
from virt_controller.migration.scheduling import report_start

_ABORTED = "VirtualMachineInstance migration is aborted: its VirtualMachineInstanceMigration is deleted"


def follow(observed: Observed) -> tuple[Action, ...]:
    """The handlers move the guest: request an abort if the migration is canceled, and report how far they are."""
    state, job, vmi = observed.state, observed.job, observed.vmi
    assert state is not None and vmi is not None
    if state.completed:
        if state.succeeded:
            phases = (*hand_off.phases(state), MigrationPhase.SUCCEEDED)
            after = status.entering(job, phases, observed.now)
            after["migrationState"] = vmi.raw_status["migrationState"]
            return patched(observed, after)
        reason = state.failure_reason or "the handlers report no reason"
        if state.target_node_address:
            reason = f"source node reported migration failed: {reason}"
        return fail(observed, reason, canceled=observed.canceled)
    if vmi.status.phase.final:
        return fail(observed, f"VMI {vmi.metadata.name} has ended during its migration")
    if not state.target_node_address:
        return _before_target(observed)
    actions: list[Action] = []
    if observed.canceled and not state.abort_requested:
        actions.append(PatchVmi(tuple(hand_off.abort_patch(vmi))))
        actions.append(RecordVmiEvent(RecordEvent("SuccessfulAbortMigration", _ABORTED)))
    after = status.entering(job, hand_off.phases(state), observed.now)
    if observed.canceled:
        condition = Condition(status.ABORT_REQUESTED, "True", "Canceled", "the migration is deleted")
        after = status.with_condition(job, condition, observed.now, after)
    return (*actions, *patched(observed, after))


def _before_target(observed: Observed) -> tuple[Action, ...]:
    """The target's launcher is not prepared. No copy begins before migrationState has its address, so the controller
    alone ends the migration; its patch is refused if the address has just been written."""
    vmi, job, pod = observed.vmi, observed.job, observed.target
    assert vmi is not None
    if observed.canceled:
        event = RecordEvent("SuccessfulAbortMigration", _ABORTED)
        return PatchVmi(tuple(hand_off.failure_patch(vmi, CANCELED, observed.now, aborted=True))), RecordVmiEvent(event)
    if pod is None or target.is_running(pod):
        return patched(observed, status.entering(job, hand_off.PREPARING, observed.now))
    late = target.why_too_late(observed, pod)
    if late:
        return (PatchVmi(tuple(hand_off.failure_patch(vmi, late, observed.now))),)
    return report_start(observed, pod)
