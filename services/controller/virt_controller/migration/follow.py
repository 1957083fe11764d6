"""A migration that was handed off: how far the handlers are, and its cancel. Pure; called by plan.py."""

from __future__ import annotations

from virt_core.conventions import events
from virt_core.migration.migration import STALLED, MigrationPhase
from virt_core.objects.meta import Condition
from virt_core.vmi.migration_state import failure_message, record, without_expected_end

from virt_controller.actions import LookAgain, RecordEvent
from virt_controller.migration import hand_off, stall, status, target
from virt_controller.migration.actions import Action, PatchVmi, RecordVmiEvent
from virt_controller.migration.observe import Observed
from virt_controller.migration.outcome import CANCELED, fail, patched
from virt_controller.migration.scheduling import report_start
from virt_controller.pod.observed import LauncherPod

_SUCCEEDED = "Source node reported migration succeeded"  # KubeVirt's
_ABORTED = "VirtualMachineInstance migration is aborted: its VirtualMachineInstanceMigration is deleted"


def follow(observed: Observed) -> tuple[Action, ...]:
    """The handlers move the guest: request an abort if the migration is canceled, and report how far they are."""
    state, job, vmi = observed.state, observed.job, observed.vmi
    assert state is not None and vmi is not None
    if state.completed:
        if state.succeeded:
            phases = (*hand_off.phases(state), MigrationPhase.SUCCEEDED)
            after = status.entering(job, phases, observed.now)
            after["migrationState"] = record(vmi.raw_status["migrationState"])
            return (*patched(observed, after), RecordEvent("SuccessfulMigration", _SUCCEEDED))
        reason = state.failure_reason or "the handlers report no reason"
        if state.mode:  # the source had begun
            reason = f"source node reported migration failed: {reason}"
        return fail(observed, reason, canceled=observed.canceled)
    if vmi.status.phase.final:
        return fail(observed, f"VMI {vmi.metadata.name} has ended during its migration")
    if not state.start_timestamp:
        return _before_copy(observed)
    actions: list[Action] = []
    if observed.canceled and not state.abort_requested:
        actions.append(PatchVmi(tuple(hand_off.abort_patch(vmi))))
        actions.append(RecordVmiEvent(RecordEvent("SuccessfulAbortMigration", _ABORTED)))
    shown, expected = vmi.raw_status["migrationState"], stall.seconds_expected(observed)
    if expected is not None and (expected <= 0 or stall.of(observed) is not None):
        actions = actions or [PatchVmi(tuple(hand_off.expectation_patch(vmi)))]
        shown = without_expected_end(shown)
    after = status.entering(job, hand_off.phases(state), observed.now)
    after = status.with_way(after, shown)
    if observed.canceled:
        condition = Condition(status.ABORT_REQUESTED, "True", "Canceled", "the migration is deleted")
        after = status.with_condition(job, condition, observed.now, after)
    return (*actions, *_with_stall(observed, after))


def _with_stall(observed: Observed, after: status.Status) -> tuple[Action, ...]:
    """Whether the copy has stalled, with the rest of the status."""
    job = observed.job
    stalled, known = stall.of(observed), status.condition(job, STALLED)
    if stalled is None:
        left = min(filter(None, (stall.seconds_left(observed), stall.seconds_expected(observed))), default=0.0)
        return (*patched(observed, status.without(after, STALLED)), *((LookAgain(left),) if left else ()))
    patch = patched(observed, status.with_condition(job, stalled, observed.now, after))
    event = RecordEvent("MigrationStalled", stalled.message, warning=True)
    return (*patch, event) if known is None else patch


def _before_copy(observed: Observed) -> tuple[Action, ...]:
    """Nothing is copied before migrationState has startTimestamp: the controller alone ends the migration, also while
    handlers are away. Its patch is refused if the start, or anything else, has just been written."""
    vmi, state = observed.vmi, observed.state
    assert vmi is not None and state is not None
    if observed.canceled:
        ended = PatchVmi(tuple(hand_off.failure_patch(vmi, state, CANCELED, observed.now, aborted=True)))
        return ended, RecordVmiEvent(RecordEvent("SuccessfulAbortMigration", _ABORTED))
    pod = observed.target
    if pod is not None and not pod.ended and not state.target_node_address and not target.is_running(pod):
        return _starting(observed, pod)
    left = hand_off.seconds_left(observed.job, observed.now)
    if left <= 0:
        return _end(observed, hand_off.who_is_late(state))
    if (unnoted := hand_off.seconds_unnoted(observed)) > 0:
        return (LookAgain(unnoted),)
    after = status.entering(observed.job, hand_off.phases(state), observed.now)
    return (*patched(observed, status.with_way(after, vmi.raw_status["migrationState"])), LookAgain(left))


def _starting(observed: Observed, pod: LauncherPod) -> tuple[Action, ...]:
    """The target's node starts the pod. What becomes of a pod that has ended, vmi/ decides."""
    if pod.rejected or pod.broken or pod.metadata.deletion_timestamp is not None:
        return _end(observed, target.why_down(pod))
    late = target.why_too_late(observed, pod)
    return _end(observed, late) if late else report_start(observed, pod)


def _end(observed: Observed, reason: str) -> tuple[Action, ...]:
    """The next pass fails the migration, with the same reason."""
    vmi, state = observed.vmi, observed.state
    assert vmi is not None and state is not None
    event = RecordVmiEvent(RecordEvent(events.MIGRATED, failure_message(state, reason), warning=True))
    return PatchVmi(tuple(hand_off.failure_patch(vmi, state, reason, observed.now))), event
