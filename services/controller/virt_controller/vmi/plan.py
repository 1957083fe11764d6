"""What to do about one VirtualMachineInstance: a pure function of what was observed.

Called by reconcile.py. The controller makes the pod and tells the handler about it in one patch; from then on the
guest's truth is the handler's, and the controller steps in only where no handler can: the pod is gone, ended, cannot
be scheduled or cannot start.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from virt_core.api import labels
from virt_core.api.vmi import UnsupportedSpec, VirtualMachineInstance, VmiPhase, parse_spec
from virt_core.api.vmi_status import in_phase, status_patch
from virt_core.kube.patch import Operation, guarded_patch

from virt_controller.vmi import status
from virt_controller.vmi.actions import Action, CreatePod, DeletePod, LookAgain, PatchVmi, RecordEvent
from virt_controller.vmi.observe import Claim, LauncherPod, Observed
from virt_controller.vmi.pod_containers import LauncherSettings
from virt_controller.vmi.pod_template import launcher_pod, pod_name

# A rejected pod is made anew no more often than this, while the node's device plugin comes back.
_REJECTED_POD_SECONDS = 1.0
# Claims are not watched: all claims of a cluster are many, and one that is missing is rare.
_CLAIM_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans with one release's launcher."""

    launcher: LauncherSettings

    def plan(self, observed: Observed) -> tuple[Action, ...]:
        """The actions that bring the world nearer to the VirtualMachineInstance; none when all is well."""
        vmi, pod = observed.vmi, observed.pod
        if vmi.metadata.deletion_timestamp is not None:
            return _delete(vmi, pod)
        if vmi.status.phase.final:
            return ()
        if pod is None:
            return self._without_pod(observed)
        if pod.rejected and vmi.status.phase != VmiPhase.RUNNING:
            return _replace_rejected(vmi, pod, observed.now)
        if pod.ended:
            return _fail(vmi, status.ended_pod(pod), observed.now)
        return _follow(vmi, pod, observed.now)

    def _without_pod(self, observed: Observed) -> tuple[Action, ...]:
        vmi = observed.vmi
        if vmi.status.active_pods:
            failed = status.Failure("PodGone", f"launcher pod {pod_name(vmi)} is gone")
            return _fail(vmi, failed, observed.now, only_if_pod_is_gone=pod_name(vmi))
        lacking = next((name for name, claim in observed.claims.items() if not _usable(claim)), None)
        if lacking is not None:
            return _wait_for_claim(vmi, lacking, observed)
        claims = {name: claim for name, claim in observed.claims.items() if claim is not None}
        try:
            spec = parse_spec(vmi.spec)
            manifest = launcher_pod(vmi, spec, self.launcher, observed.configuration, claims)
        except UnsupportedSpec as error:
            after = status.refused(vmi, str(error), observed.now)
            event = RecordEvent("UnsupportedSpec", str(error), warning=True)
            return _patch_status(vmi, after, (event,))
        return (CreatePod(manifest),)


def _usable(claim: Claim | None) -> bool:
    """A claim that is not bound yet is bound for its first pod, or the pod waits."""
    return claim is not None and claim.status.phase != "Lost"


def _wait_for_claim(vmi: VirtualMachineInstance, name: str, observed: Observed) -> tuple[Action, ...]:
    lost = observed.claims[name] is not None
    told = "has lost its volume" if lost else "does not exist"
    failure = status.Failure("FailedPvcNotFound", f"PersistentVolumeClaim {name} {told}")
    event = RecordEvent(failure.reason, failure.message, warning=True)
    return (*_patch_status(vmi, status.waiting(vmi, failure, observed.now), (event,)), LookAgain(_CLAIM_SECONDS))


def _delete(vmi: VirtualMachineInstance, pod: LauncherPod | None) -> tuple[Action, ...]:
    if pod is not None:
        return () if pod.metadata.deletion_timestamp else (DeletePod(pod.metadata.name, pod.metadata.uid),)
    if labels.VMI_FINALIZER not in vmi.metadata.finalizers:
        return ()
    kept = [finalizer for finalizer in vmi.metadata.finalizers if finalizer != labels.VMI_FINALIZER]
    before = {"finalizers": vmi.metadata.finalizers}
    operations = guarded_patch(vmi.metadata.uid, before, {"finalizers": kept}, "metadata")
    return (PatchVmi(tuple(operations), only_if_pod_is_gone=pod_name(vmi)),)


def _follow(vmi: VirtualMachineInstance, pod: LauncherPod, now: datetime) -> tuple[Action, ...]:
    """The pod lives: tell the handler where, or the user why it does not start."""
    if vmi.status.phase == VmiPhase.RUNNING:
        return ()
    if pod.spec.node_name and pod.metadata.uid not in vmi.status.active_pods:
        return (PatchVmi((*_metadata(vmi, pod), *status_patch(vmi, status.scheduled_to(vmi, pod, now)))),)
    problem = status.start_problem(pod)
    after = status.with_problem(vmi, problem, now)
    if problem is None and pod.ready and vmi.status.phase == VmiPhase.SCHEDULING:
        after = in_phase(after, VmiPhase.SCHEDULED, now)
    event = RecordEvent(problem.reason, problem.message, warning=True) if problem is not None else None
    return _patch_status(vmi, after, (event,) if event else ())


def _replace_rejected(vmi: VirtualMachineInstance, pod: LauncherPod, now: datetime) -> tuple[Action, ...]:
    """The guest never ran: forget the pod, then delete it; the next pass makes another."""
    if pod.metadata.uid in vmi.status.active_pods:
        message = f"node {pod.spec.node_name} rejected the pod: {pod.status.reason}: {pod.status.message}"
        return _patch_status(vmi, status.unscheduled(vmi, now), (RecordEvent("PodRejected", message, warning=True),))
    if pod.metadata.deletion_timestamp:
        return ()
    age = (now - datetime.fromisoformat(pod.metadata.creation_timestamp)).total_seconds()
    if age < _REJECTED_POD_SECONDS:
        return (LookAgain(_REJECTED_POD_SECONDS - age),)
    return (DeletePod(pod.metadata.name, pod.metadata.uid),)


def _fail(
    vmi: VirtualMachineInstance, failure: status.Failure, now: datetime, only_if_pod_is_gone: str | None = None
) -> tuple[Action, ...]:
    operations = status_patch(vmi, status.failed(vmi, failure, now))
    event = RecordEvent(failure.reason, failure.message, warning=True)
    return (PatchVmi(tuple(operations), only_if_pod_is_gone), event)


def _patch_status(
    vmi: VirtualMachineInstance, after: status.Status, events: tuple[RecordEvent, ...] = ()
) -> tuple[Action, ...]:
    """A patch if something changes, and only then the events that explain it."""
    operations = status_patch(vmi, after)
    return (PatchVmi(tuple(operations)), *events) if operations else ()


def _metadata(vmi: VirtualMachineInstance, pod: LauncherPod) -> list[Operation]:
    meta = vmi.metadata
    before = {key: value for key, value in (("labels", meta.labels), ("finalizers", meta.finalizers)) if value}
    finalizers = sorted({*meta.finalizers, labels.VMI_FINALIZER})
    after = {"labels": {**meta.labels, labels.NODE_NAME: pod.spec.node_name}, "finalizers": finalizers}
    return guarded_patch(meta.uid, before, after, "metadata")
