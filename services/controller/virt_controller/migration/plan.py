"""Plans the actions for a VirtualMachineInstanceMigration. Pure; called by reconcile.py.

A migration waits for a place (limits.py), takes it, gets its target pod (target.py), and is handed off to the handlers
of both nodes in one patch of the VirtualMachineInstance (scheduling.py, hand_off.py). From then on its phase follows
migrationState, which the handlers write (follow.py), to its end (outcome.py); vmi/ brings the VirtualMachineInstance in
order afterwards. Any action may be the last one of this process: the next pass goes on from what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

from virt_core.conventions.conditions import GUEST_NOT_RUNNING
from virt_core.migration.migration import WAITING, MigrationPhase, VirtualMachineInstanceMigration
from virt_core.objects.meta import Condition
from virt_core.vmi.eviction import live_migratable
from virt_core.vmi.instance import VmiPhase

from virt_controller.actions import LookAgain, RecordEvent
from virt_controller.migration import status, target
from virt_controller.migration.actions import Action, DeleteTarget, RecordVmiEvent
from virt_controller.migration.back_off import seconds_to_begin
from virt_controller.migration.follow import follow
from virt_controller.migration.limits import waits_for
from virt_controller.migration.observe import Observed
from virt_controller.migration.outcome import CANCELED, fail, finish, patched
from virt_controller.migration.scheduling import report_refusal, schedule
from virt_controller.pod.containers import LauncherSettings

_BACK_OFF = "MigrationBackoff"  # KubeVirt's event


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
            return finish(observed)
        return follow(observed) if observed.state is not None else self._before_hand_off(observed)

    def _before_hand_off(self, observed: Observed) -> tuple[Action, ...]:
        if observed.canceled:
            return _cancel(observed)
        if (lost := _obstacle(observed)) is not None:
            return fail(observed, lost)
        if observed.job.status.phase.waiting:
            return self._take_place(observed)
        pod = observed.target
        if pod is not None:
            return schedule(observed, pod)
        if observed.target_was_seen:
            return fail(observed, "Migration target pod was removed during active migration.")
        return self._create(observed)

    def _take_place(self, observed: Observed) -> tuple[Action, ...]:
        """Begin, or report what the migration waits for."""
        reason, message, again = _wait(observed)
        if not reason:
            phases = (MigrationPhase.PENDING, MigrationPhase.SCHEDULING)
            return patched(observed, status.entering(observed.job, phases, observed.now))
        job, now = observed.job, observed.now
        after = status.entering(job, (MigrationPhase.PENDING,), now)
        after = status.with_condition(job, Condition(WAITING, "True", reason, message), now, after)
        events: tuple[Action, ...] = ()
        if reason == _BACK_OFF and status.condition(job, WAITING) is None:
            event = RecordEvent(reason, f"backoff migrating vmi {observed.vmi_name}", warning=True)
            events = (RecordVmiEvent(event),)
        patch = patched(observed, after)
        return (*patch, *(events if patch else ()), *((LookAgain(again),) if again else ()))

    def _create(self, observed: Observed) -> tuple[Action, ...]:
        if observed.refusal is not None:
            return report_refusal(observed, observed.refusal)
        if observed.configuration is None:
            return (LookAgain(),)
        made = target.creation(observed, self.launcher)
        if isinstance(made, str):
            return fail(observed, made)
        created = RecordEvent("SuccessfulCreate", f"Created migration target pod {made.manifest['metadata']['name']}")
        return made, created


def _wait(observed: Observed) -> tuple[str, str, float]:
    """Reason and message of what a migration waits for before it takes a place, and when to look again, in seconds;
    the reason is empty if it may begin."""
    if (unknown := _unknown(observed)) is not None:
        return unknown
    if observed.other_pods:
        pods = " and ".join(observed.other_pods)
        return "AnotherPod", f"the guest has another launcher pod: {pods}; it has to end first", 0.0
    back_off = seconds_to_begin(observed.job, observed.others, observed.now)
    if back_off > 0:
        return _BACK_OFF, "earlier migrations of the guest failed: the next one begins later", back_off
    assert observed.settings is not None
    obstacle = waits_for(observed.job.metadata.uid, observed.candidates, observed.settings)
    return (status.PARALLEL, obstacle, 0.0) if obstacle else ("", "", 0.0)


def _unknown(observed: Observed) -> tuple[str, str, float] | None:
    """The same, of what is not known yet."""
    vmi, source = observed.vmi, observed.source
    assert vmi is not None
    if vmi.status.phase is not VmiPhase.RUNNING or source is None:
        return GUEST_NOT_RUNNING, f"the guest of VMI {observed.vmi_name} does not run yet", 0.0
    if source.unreported:
        return "PodNotReported", f"the kubelet has not reported pod {source.metadata.name} as running yet", 1.0
    if observed.settings is None:
        return "NotConfigured", "the configuration of the cluster is not known", 0.0
    if live_migratable(vmi) is None:
        return "NotYetKnown", f"whether VMI {observed.vmi_name} can migrate is not known yet", 0.0
    return None


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
    return (*deletion, *fail(observed, CANCELED, canceled=True))
