"""Plans the actions for a VirtualMachineInstanceMigration. Pure; called by reconcile.py.

A migration waits for a place (limits.py), takes it, gets its target pod (target.py), and is handed off to the handlers
of both nodes in one patch of the VirtualMachineInstance (hand_off.py). From then on its phase follows migrationState,
which the handlers write; vmi/ brings the VirtualMachineInstance in order afterwards. Any action may be the last one of
this process: the next pass goes on from what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

from virt_core.conventions import migration as convention
from virt_core.conventions.conditions import GUEST_NOT_RUNNING
from virt_core.migration.migration import MigrationPhase, VirtualMachineInstanceMigration
from virt_core.objects.meta import Condition
from virt_core.objects.patch import finalizers_patch, status_patch
from virt_core.vmi.eviction import live_migratable
from virt_core.vmi.instance import VmiPhase

from virt_controller.actions import LookAgain, RecordEvent
from virt_controller.failure import Failure
from virt_controller.migration import hand_off, status, target
from virt_controller.migration.actions import (
    Action,
    DeleteMigration,
    DeleteTarget,
    PatchMetadata,
    PatchStatus,
    PatchVmi,
    RecordVmiEvent,
)
from virt_controller.migration.back_off import seconds_to_begin
from virt_controller.migration.limits import waits_for
from virt_controller.migration.observe import Observed
from virt_controller.pod.containers import LauncherSettings
from virt_controller.pod.observed import LauncherPod
from virt_controller.pod.problems import UNSCHEDULABLE, start_problem

_TROUBLE = (status.WAITING, status.REJECTED_BY_QUOTA)
_KEPT = 5  # finished migrations of a VirtualMachineInstance, KubeVirt's
_BACK_OFF = "MigrationBackoff"  # KubeVirt's event
_CANCELED = "Migration failed due to being canceled"
_ABORTED = "VirtualMachineInstance migration is aborted: its VirtualMachineInstanceMigration is deleted"


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans with the launcher's settings of this release."""

    launcher: LauncherSettings

    def plan(self, observed: Observed) -> tuple[Action, ...]:
        """The actions that bring the migration nearer to its end; empty if nothing is to be done."""
        phase = observed.job.status.phase
        if phase is MigrationPhase.UNKNOWN:
            return ()  # of another release
        if phase.final:
            return _finish(observed)
        return _follow(observed) if observed.state is not None else self._before_hand_off(observed)

    def _before_hand_off(self, observed: Observed) -> tuple[Action, ...]:
        if observed.canceled:
            return _cancel(observed)
        if (lost := _obstacle(observed)) is not None:
            return _fail(observed, lost)
        if observed.job.status.phase.waiting:
            return self._take_place(observed)
        pod = observed.target
        if pod is not None:
            return _schedule(observed, pod)
        if observed.target_was_seen:
            return _fail(observed, "Migration target pod was removed during active migration.")
        return self._create(observed)

    def _take_place(self, observed: Observed) -> tuple[Action, ...]:
        """Begin, or report what the migration waits for."""
        reason, message, again = _wait(observed)
        if not reason:
            phases = (MigrationPhase.PENDING, MigrationPhase.SCHEDULING)
            return _patched(observed, status.entering(observed.job, phases, observed.now))
        job, now = observed.job, observed.now
        after = status.entering(job, (MigrationPhase.PENDING,), now)
        after = status.with_condition(job, Condition(status.WAITING, "True", reason, message), now, after)
        events: tuple[Action, ...] = ()
        if reason == _BACK_OFF and status.condition(job, status.WAITING) is None:
            event = RecordEvent(reason, f"backoff migrating vmi {_vmi_name(observed)}", warning=True)
            events = (RecordVmiEvent(event),)
        patch = _patched(observed, after)
        return (*patch, *(events if patch else ()), *((LookAgain(again),) if again else ()))

    def _create(self, observed: Observed) -> tuple[Action, ...]:
        if observed.refusal is not None:
            return _report_refusal(observed, observed.refusal)
        if observed.configuration is None:
            return (LookAgain(),)
        made = target.creation(observed, self.launcher)
        if isinstance(made, str):
            return _fail(observed, made)
        created = RecordEvent("SuccessfulCreate", f"Created migration target pod {made.manifest['metadata']['name']}")
        return made, created


def _report_refusal(observed: Observed, refusal: Failure) -> tuple[Action, ...]:
    """The API server has not admitted the target pod: say so, and try again after a while, but not for ever."""
    left = target.seconds_to_be_admitted(observed)
    if left <= 0:
        return _fail(observed, f"Migration target pod was not admitted in time: {refusal.message}")
    kind = status.REJECTED_BY_QUOTA if "exceeded quota" in refusal.message else status.WAITING
    known = status.condition(observed.job, kind)
    condition = Condition(kind, "True", refusal.reason, refusal.message)
    patch = _patched(observed, status.with_condition(observed.job, condition, observed.now))
    event = RecordEvent(refusal.reason, refusal.message, warning=True)
    again = LookAgain(min(left, max(0.0, refusal.seconds_to_retry(known, observed.now))))
    return (*patch, *((event,) if patch and known is None else ()), again)


def _schedule(observed: Observed, pod: LauncherPod) -> tuple[Action, ...]:
    """Wait until the target pod has a node, and hand the guest off: the target's handler sees its launcher seconds
    before the kubelet reports that it runs."""
    if pod.ended or pod.metadata.deletion_timestamp is not None:
        return _fail(observed, f"Migration target pod {pod.metadata.name} is down")
    if pod.spec.node_name:
        return hand_off.to_handlers(observed)
    late = target.why_too_late(observed, pod)
    return _fail(observed, late) if late else _report_start(observed, pod)


def _report_start(observed: Observed, pod: LauncherPod) -> tuple[Action, ...]:
    """Why the target pod does not run yet."""
    job, found = observed.job, start_problem(pod)
    after = status.without(job, *_TROUBLE)
    events: tuple[Action, ...] = ()
    if found is not None:
        condition = Condition(status.WAITING, "True", found.reason, found.message)
        after = status.with_condition(job, condition, observed.now, status.without(job, status.REJECTED_BY_QUOTA))
        known = status.condition(job, status.WAITING)
        if found.reason == UNSCHEDULABLE and (known is None or known.reason != UNSCHEDULABLE):
            message = f"Migration target pod for VMI [{_vmi_name(observed)}] is currently unschedulable."
            events = (RecordEvent("migrationTargetPodUnschedulable", message, warning=True),)
    return (*_patched(observed, after), *events, LookAgain(target.seconds_left(observed, pod)))


def _wait(observed: Observed) -> tuple[str, str, float]:
    """Reason and message of what a migration waits for before it takes a place, and when to look again, in seconds;
    the reason is empty if it may begin."""
    vmi = observed.vmi
    assert vmi is not None
    if vmi.status.phase is not VmiPhase.RUNNING or observed.source is None:
        return GUEST_NOT_RUNNING, f"the guest of VMI {_vmi_name(observed)} does not run yet", 0.0
    if observed.settings is None:
        return "NotConfigured", "the configuration of the cluster is not known", 0.0
    if live_migratable(vmi) is None:
        return "NotYetKnown", f"whether VMI {_vmi_name(observed)} can migrate is not known yet", 0.0
    if observed.other_pods:
        pods = " and ".join(observed.other_pods)
        return "AnotherPod", f"the guest has another launcher pod: {pods}; it has to end first", 0.0
    back_off = seconds_to_begin(observed.job, observed.others, observed.now)
    if back_off > 0:
        return _BACK_OFF, "earlier migrations of the guest failed: the next one begins later", back_off
    obstacle = waits_for(observed.job.metadata.uid, observed.candidates, observed.settings)
    return ("ParallelMigrations", obstacle, 0.0) if obstacle else ("", "", 0.0)


def _obstacle(observed: Observed) -> str | None:
    """Why the migration cannot succeed any more, before it was handed off."""
    vmi = observed.vmi
    name = observed.job.spec.vmi_name
    if vmi is None or vmi.metadata.deletion_timestamp is not None or vmi.status.phase.final:
        return f"VMI {name} is gone, or about to go"
    condition = live_migratable(vmi)
    if condition is not None and condition.status == "False" and observed.job.status.phase.waiting:
        return f"Cannot migrate VMI, Reason: {condition.reason}, Message: {condition.message}"
    if vmi.status.migrates:
        return "VMI is not eligible for migration because another migration job is in progress."
    earlier = [
        other
        for other in observed.others
        if not other.status.phase.final
        and (not other.status.phase.waiting or _age_rank(other) < _age_rank(observed.job))
    ]
    if earlier and observed.job.status.phase.waiting:
        return "VMI is not eligible for migration because another migration job is in progress."
    if not observed.job.status.phase.waiting and (observed.source is None or observed.source.ended):
        return f"the guest of VMI {name} does not run any more"
    return None


def _age_rank(job: VirtualMachineInstanceMigration) -> tuple[str, str]:
    return job.metadata.creation_timestamp, job.metadata.uid


def _cancel(observed: Observed) -> tuple[Action, ...]:
    """The migration is deleted before the hand-off: the target pod goes at once."""
    pod = observed.target
    deletion: tuple[Action, ...] = ()
    if pod is not None and pod.metadata.deletion_timestamp is None:
        message = f"migration canceled and pod {pod.metadata.namespace}/{pod.metadata.name} is deleted"
        deletion = (DeleteTarget(pod.metadata.name, pod.metadata.uid), RecordEvent("SuccessfulDelete", message))
    return (*deletion, *_fail(observed, _CANCELED, canceled=True))


def _follow(observed: Observed) -> tuple[Action, ...]:
    """The handlers move the guest: request an abort if the migration is canceled, and report how far they are."""
    state, job, vmi = observed.state, observed.job, observed.vmi
    assert state is not None and vmi is not None
    if state.completed:
        if state.succeeded:
            phases = (*hand_off.phases(state), MigrationPhase.SUCCEEDED)
            after = status.entering(job, phases, observed.now)
            after["migrationState"] = vmi.raw_status["migrationState"]
            return _patched(observed, after)
        reason = state.failure_reason or "the handlers report no reason"
        if state.target_node_address:
            reason = f"source node reported migration failed: {reason}"
        return _fail(observed, reason, canceled=observed.canceled)
    if vmi.status.phase.final:
        return _fail(observed, f"VMI {vmi.metadata.name} has ended during its migration")
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
    return (*actions, *_patched(observed, after))


def _before_target(observed: Observed) -> tuple[Action, ...]:
    """The target's launcher is not prepared. No copy begins before migrationState has its address, so the controller
    alone ends the migration; its patch is refused if the address has just been written."""
    vmi, job, pod = observed.vmi, observed.job, observed.target
    assert vmi is not None
    if observed.canceled:
        event = RecordEvent("SuccessfulAbortMigration", _ABORTED)
        return PatchVmi(tuple(hand_off.failure_patch(vmi, _CANCELED, observed.now, aborted=True))), RecordVmiEvent(
            event
        )
    if pod is None or target.is_running(pod):
        return _patched(observed, status.entering(job, hand_off.PREPARING, observed.now))
    late = target.why_too_late(observed, pod)
    if late:
        return (PatchVmi(tuple(hand_off.failure_patch(vmi, late, observed.now))),)
    return _report_start(observed, pod)


def _fail(observed: Observed, message: str, *, canceled: bool = False) -> tuple[Action, ...]:
    """The phase Failed, with the reason in a condition and an event; then the target pod goes."""
    job, now = observed.job, observed.now
    after = status.entering(job, (MigrationPhase.FAILED,), now)
    after = status.with_condition(job, Condition(status.FAILURE, "True", "FailedMigration", message), now, after)
    if canceled:
        condition = Condition(status.ABORT_REQUESTED, "True", "Canceled", "the migration is deleted")
        after = status.with_condition(job, condition, now, after)
    if observed.state is not None and observed.vmi is not None:
        after["migrationState"] = observed.vmi.raw_status["migrationState"]
    return (*_patched(observed, after), RecordEvent("FailedMigration", message, warning=True))


def _finish(observed: Observed) -> tuple[Action, ...]:
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


def _patched(observed: Observed, after: status.Status) -> tuple[Action, ...]:
    operations = status_patch(observed.job.metadata, observed.job.raw_status, after)
    return (PatchStatus(tuple(operations)),) if operations else ()


def _vmi_name(observed: Observed) -> str:
    return f"{observed.job.metadata.namespace}/{observed.job.spec.vmi_name}"
