"""Plans the actions for a VirtualMachineInstance. Pure.

Called by reconcile.py. The controller creates the pod (creation.py) and hands it over to the handler in one patch. From
then on the handler reports the guest's state. The controller acts only where no handler can: the pod is gone
(ending.py), terminating or ended, cannot be scheduled or started, or its node is in trouble.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from virt_core.conventions import labels
from virt_core.conventions.conditions import READY, SYNCHRONIZED
from virt_core.objects.meta import seconds_since
from virt_core.objects.patch import Operation, guarded_patch
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase
from virt_core.vmi.status import CONTROLLERS_REASONS, in_phase, status_patch

from virt_controller.actions import LookAgain, RecordEvent
from virt_controller.pod.containers import LauncherSettings
from virt_controller.pod.observed import LauncherPod
from virt_controller.pod.problems import (
    PULLING,
    Failure,
    how_it_ended,
    rejection,
    seconds_to_replace,
    start_problem,
    without_scheduler,
)
from virt_controller.vmi import creation, ending, status
from virt_controller.vmi.actions import Action, DeletePod, PatchPod, PatchVmi
from virt_controller.vmi.creation import RetryDelays
from virt_controller.vmi.migrating import migrate
from virt_controller.vmi.observe import Observed
from virt_controller.vmi.outcome import fail, patch_status, warnings

# A scheduled pod starts its first container within two seconds. After this time its events are read for the cause.
_SLOW_START_SECONDS, _SLOW_START_SECONDS_LAST = 15.0, 60.0
_RETRY = RetryDelays()
# A guest usually runs within a second after its pod has become ready: Scheduled would be a write for nothing.
_STARTS_WITHIN = 2.0


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans with the launcher's settings of this release."""

    launcher: LauncherSettings
    retry: RetryDelays = _RETRY

    def plan(self, observed: Observed) -> tuple[Action, ...]:
        """The actions that bring the cluster closer to the desired state; empty if nothing is to be done."""
        vmi, pod = observed.vmi, observed.pod
        if vmi.metadata.deletion_timestamp is not None:
            return ending.delete(observed)
        if vmi.status.phase.final or vmi.status.phase is VmiPhase.UNKNOWN:
            return ()  # a phase of another release may mean a second pod, or a guest on another node
        if (migrating := migrate(observed)) is not None:
            return migrating
        if pod is not None:
            return _with_pod(vmi, pod, observed)
        if vmi.status.active_pods:
            return ending.vanish(observed)
        return creation.create(observed, self.launcher, self.retry)


def _with_pod(vmi: VirtualMachineInstance, pod: LauncherPod, observed: Observed) -> tuple[Action, ...]:
    if pod.rejected and vmi.status.phase != VmiPhase.RUNNING:
        return _replace_rejected(vmi, pod, observed.now)
    if pod.ended:
        return fail(vmi, how_it_ended(pod, observed.pod_events), observed.now)
    if pod.broken and vmi.status.phase != VmiPhase.RUNNING:
        return (*fail(vmi, how_it_ended(pod), observed.now), DeletePod(pod.metadata.name, pod.metadata.uid))
    if pod.metadata.uid not in vmi.status.active_pods:
        return _hand_over(vmi, pod, observed.now)
    if observed.trouble is not None and observed.trouble.lost:
        return ending.lose(vmi, pod, observed.trouble, observed.now)
    return *_follow(vmi, pod, observed), *_annotate(vmi, pod)


def _annotate(vmi: VirtualMachineInstance, pod: LauncherPod) -> tuple[PatchPod, ...]:
    """Bring to the pod what the descheduler reads there; the VMI is what a user or a VirtualMachine changes."""
    wanted, found = (
        {key: meta.annotations[key] for key in labels.SYNCED_ANNOTATIONS if key in meta.annotations}
        for meta in (vmi.metadata, pod.metadata)
    )
    operations = guarded_patch(pod.metadata, found, wanted, "metadata", "annotations")
    return (PatchPod(pod.metadata.name, tuple(operations)),) if operations else ()


def _hand_over(vmi: VirtualMachineInstance, pod: LauncherPod, now: datetime) -> tuple[Action, ...]:
    """The pod is new: hand it over to the handler of its node, or report why it is not scheduled."""
    if pod.spec.node_name:
        return (PatchVmi((*_metadata(vmi, pod), *status_patch(vmi, status.scheduled_to(vmi, pod, now)))),)
    problem, patience = start_problem(pod), _SLOW_START_SECONDS - _age(pod, now)
    if problem is None and patience <= 0:
        problem = without_scheduler(pod)
    again = (LookAgain(patience),) if problem is None and patience > 0 else ()
    return (*patch_status(vmi, status.with_problem(vmi, problem, now), warnings(problem)), *again)


def _follow(vmi: VirtualMachineInstance, pod: LauncherPod, observed: Observed) -> tuple[Action, ...]:
    """The pod was handed over: report problems that the handler cannot report."""
    now = observed.now
    readiness = status.with_readiness(vmi, pod, observed.trouble, now)
    if readiness != vmi.raw_status:
        return patch_status(vmi, readiness, _readiness_events(readiness))
    if vmi.status.phase == VmiPhase.RUNNING:
        return ()
    problem = start_problem(pod, observed.pod_events)
    after = status.with_problem(vmi, problem, now)
    if problem is None and pod.ready and vmi.status.phase == VmiPhase.SCHEDULING:
        if (patience := _STARTS_WITHIN - observed.ready_for) > 0:
            return (*patch_status(vmi, after, ()), LookAgain(patience))
        after = in_phase(after, VmiPhase.SCHEDULED, now)
    # A pod that cannot start its first container does not change, so plan again after a while.
    again = () if pod.begun else (LookAgain(max(_SLOW_START_SECONDS, min(_age(pod, now), _SLOW_START_SECONDS_LAST))),)
    return (*patch_status(vmi, after, _news(vmi, problem)), *again)


def _news(vmi: VirtualMachineInstance, problem: Failure | None) -> tuple[RecordEvent, ...]:
    """The event that reports the problem. The kubelet alternates between the reasons of an image that it cannot pull,
    which is one problem."""
    known = {condition.reason for condition in vmi.status.conditions if condition.type == SYNCHRONIZED}
    if problem is not None and problem.reason in PULLING and known & PULLING:
        return ()
    return warnings(problem)


def needs_events(vmi: VirtualMachineInstance, pod: LauncherPod, now: datetime) -> bool:
    """Whether to read the pod's events: its first container does not start, or its end has no known cause."""
    if vmi.status.phase.final or vmi.metadata.deletion_timestamp or pod.metadata.uid not in vmi.status.active_pods:
        return False
    if pod.ended:
        return not pod.status.reason
    return vmi.status.phase != VmiPhase.RUNNING and not pod.begun and _age(pod, now) >= _SLOW_START_SECONDS


def _age(pod: LauncherPod, now: datetime) -> float:
    return seconds_since(pod.metadata.creation_timestamp, now)


def _readiness_events(after: status.Status) -> tuple[RecordEvent, ...]:
    """The event for a change of Ready by the controller. The kubelet itself reports failing probes."""
    (ready,) = (condition for condition in after["conditions"] if condition["type"] == READY)
    reason = ready.get("reason", "")
    by_controller = ready["status"] == "False" and reason in CONTROLLERS_REASONS
    return warnings(Failure(reason, ready["message"]) if by_controller else None)


def _replace_rejected(vmi: VirtualMachineInstance, pod: LauncherPod, now: datetime) -> tuple[Action, ...]:
    """The guest never ran: remove the pod from activePods, then delete it. The next pass creates another."""
    if pod.metadata.uid in vmi.status.active_pods:
        return patch_status(vmi, status.unscheduled(vmi, now), warnings(rejection(pod)))
    if pod.metadata.deletion_timestamp:
        return ()
    wait = seconds_to_replace(pod, status.scheduling_seconds(vmi, now), now)
    return (LookAgain(wait) if wait > 0 else DeletePod(pod.metadata.name, pod.metadata.uid),)


def _metadata(vmi: VirtualMachineInstance, pod: LauncherPod) -> list[Operation]:
    meta = vmi.metadata
    before = {key: value for key, value in (("labels", meta.labels), ("finalizers", meta.finalizers)) if value}
    finalizers = sorted({*meta.finalizers, labels.VMI_FINALIZER})
    after = {"labels": {**meta.labels, labels.NODE_NAME: pod.spec.node_name}, "finalizers": finalizers}
    return guarded_patch(meta, before, after, "metadata")
