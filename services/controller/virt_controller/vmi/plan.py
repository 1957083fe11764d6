"""What to do about one VirtualMachineInstance: a pure function of what was observed.

Called by reconcile.py. The controller makes the pod and tells the handler about it in one patch; from then on the
guest's truth is the handler's, and the controller steps in only where no handler can: the pod is gone, going, ended,
cannot be made, be scheduled or start, or its node is in trouble.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from virt_core.conventions import labels
from virt_core.objects.patch import Operation, guarded_patch
from virt_core.validation.refusal import UnsupportedSpec
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase, parse_spec
from virt_core.vmi.status import CONTROLLERS_REASONS, in_phase, ready_condition, status_patch

from virt_controller.node.health import NODE_DELETED, Trouble
from virt_controller.pod.containers import LauncherSettings
from virt_controller.pod.observed import Claim, LauncherPod
from virt_controller.pod.problems import CLAIM_NOT_FOUND, CREATE_REFUSED, Failure, how_it_ended, start_problem
from virt_controller.pod.template import launcher_pod, pod_name
from virt_controller.vmi import status
from virt_controller.vmi.actions import Action, CreatePod, DeletePod, LookAgain, PatchVmi, RecordEvent
from virt_controller.vmi.observe import Observed, PodRefusal

# A rejected pod is made anew after this while the node's device plugin comes back, then ever more slowly.
_REJECTED_POD_SECONDS, _REJECTED_POD_SECONDS_LAST = 1.0, 60.0
# A pod on a node starts its first container in a second or two; after this long its events are asked why it does not.
_SLOW_START_SECONDS, _SLOW_START_SECONDS_LAST = 15.0, 60.0
# Neither claims nor what makes an API server refuse a pod (quotas, policies, others' webhooks) are watched: they are
# many, and what waits for them is rare. Tried ever more slowly.
_RETRY_SECONDS, _RETRY_SECONDS_LAST = 2.0, 60.0
_TOLD = 1024  # characters of the API server's words; others' webhooks may say more than a condition should hold


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans with one release's launcher."""

    launcher: LauncherSettings

    def plan(self, observed: Observed) -> tuple[Action, ...]:
        """The actions that bring the world nearer to the VirtualMachineInstance; none when all is well."""
        vmi, pod = observed.vmi, observed.pod
        if vmi.metadata.deletion_timestamp is not None:
            return _delete(vmi, pod, observed)
        if vmi.status.phase.final or vmi.status.phase is VmiPhase.UNKNOWN:
            return ()  # an unknown phase is another release's: it may mean a second pod, or a guest elsewhere
        if pod is None:
            return self._without_pod(observed)
        return _with_pod(vmi, pod, observed)

    def _without_pod(self, observed: Observed) -> tuple[Action, ...]:
        vmi = observed.vmi
        if vmi.status.active_pods:
            return _fail(vmi, _gone(vmi), observed.now, only_if_pod_is_gone=pod_name(vmi))
        if observed.refusal is not None and (wait := _wait_seconds(vmi, observed.refusal, observed.now)) > 0:
            return (*_tell_refusal(vmi, observed.refusal, observed.now), LookAgain(wait))
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
    failure = Failure(CLAIM_NOT_FOUND, f"PersistentVolumeClaim {name} {told}")
    event = RecordEvent(failure.reason, failure.message, warning=True)
    again = LookAgain(_retry_seconds(vmi, failure, observed.now))
    return (*_patch_status(vmi, status.waiting(vmi, failure, observed.now), (event,)), again)


def _tell_refusal(vmi: VirtualMachineInstance, refusal: PodRefusal, now: datetime) -> tuple[Action, ...]:
    """One event, however often it is tried; the condition holds the newest words."""
    failure = _refused(refusal)
    events = () if status.tells(vmi, failure) else _events(failure)
    return _patch_status(vmi, status.waiting(vmi, failure, now), events)


def _wait_seconds(vmi: VirtualMachineInstance, refusal: PodRefusal, now: datetime) -> float:
    """Until the pod is asked for again, whatever else makes this VMI be looked at meanwhile."""
    return _retry_seconds(vmi, _refused(refusal), refusal.at) - (now - refusal.at).total_seconds()


def _refused(refusal: PodRefusal) -> Failure:
    return Failure(CREATE_REFUSED, f"the API server refuses the launcher pod: {refusal.message}"[:_TOLD])


def _retry_seconds(vmi: VirtualMachineInstance, failure: Failure, now: datetime) -> float:
    """As long as it has been waited for, within limits."""
    return max(_RETRY_SECONDS, min(status.unsynchronized_seconds(vmi, failure, now), _RETRY_SECONDS_LAST))


def _delete(vmi: VirtualMachineInstance, pod: LauncherPod | None, observed: Observed) -> tuple[Action, ...]:
    if pod is not None:
        if pod.metadata.deletion_timestamp is None:
            return (DeletePod(pod.metadata.name, pod.metadata.uid),)
        if observed.trouble is None or vmi.status.phase.final:
            return ()
        # Who waits for the deletion is told what it waits for.
        after = status.with_readiness(vmi, pod, observed.trouble, observed.now)
        return _patch_status(vmi, after, _events(Failure(observed.trouble.reason, observed.trouble.message)))
    if labels.VMI_FINALIZER not in vmi.metadata.finalizers:
        return ()
    kept = [finalizer for finalizer in vmi.metadata.finalizers if finalizer != labels.VMI_FINALIZER]
    before = {"finalizers": vmi.metadata.finalizers}
    operations = guarded_patch(vmi.metadata, before, {"finalizers": kept}, "metadata")
    return (PatchVmi(tuple(operations), only_if_pod_is_gone=pod_name(vmi)),)


def _with_pod(vmi: VirtualMachineInstance, pod: LauncherPod, observed: Observed) -> tuple[Action, ...]:
    if pod.rejected and vmi.status.phase != VmiPhase.RUNNING:
        return _replace_rejected(vmi, pod, observed.now)
    if pod.ended:
        return _fail(vmi, how_it_ended(pod, observed.pod_events), observed.now)
    if pod.metadata.uid not in vmi.status.active_pods:
        return _hand_over(vmi, pod, observed.now)
    if observed.trouble is not None and observed.trouble.lost:
        return _lose(vmi, pod, observed.trouble, observed.now)
    return _follow(vmi, pod, observed)


def _hand_over(vmi: VirtualMachineInstance, pod: LauncherPod, now: datetime) -> tuple[Action, ...]:
    """The pod is new: tell the handler where it is, or the user why it is nowhere."""
    if pod.spec.node_name:
        return (PatchVmi((*_metadata(vmi, pod), *status_patch(vmi, status.scheduled_to(vmi, pod, now)))),)
    problem = start_problem(pod)
    return _patch_status(vmi, status.with_problem(vmi, problem, now), _events(problem))


def _follow(vmi: VirtualMachineInstance, pod: LauncherPod, observed: Observed) -> tuple[Action, ...]:
    """The handler knows of the pod: what the handler cannot tell is told here."""
    now = observed.now
    readiness = status.with_readiness(vmi, pod, observed.trouble, now)
    if readiness is not vmi.raw_status:
        return _patch_status(vmi, readiness, _readiness_events(readiness))
    if vmi.status.phase == VmiPhase.RUNNING:
        return ()
    problem = start_problem(pod, observed.pod_events)
    after = status.with_problem(vmi, problem, now)
    if problem is None and pod.ready and vmi.status.phase == VmiPhase.SCHEDULING:
        after = in_phase(after, VmiPhase.SCHEDULED, now)
    # Whatever keeps a pod from its first container is told by no change of the pod.
    again = () if pod.begun else (LookAgain(max(_SLOW_START_SECONDS, min(_age(pod, now), _SLOW_START_SECONDS_LAST))),)
    return (*_patch_status(vmi, after, _events(problem)), *again)


def needs_events(vmi: VirtualMachineInstance, pod: LauncherPod, now: datetime) -> bool:
    """Whether the pod's events must be asked: why none of its containers is started, or why it ended without a word."""
    if vmi.status.phase.final or pod.metadata.uid not in vmi.status.active_pods:
        return False
    if pod.ended:
        return not pod.status.reason
    return vmi.status.phase != VmiPhase.RUNNING and not pod.begun and _age(pod, now) >= _SLOW_START_SECONDS


def _age(pod: LauncherPod, now: datetime) -> float:
    return (now - datetime.fromisoformat(pod.metadata.creation_timestamp)).total_seconds()


def _events(problem: Failure | None) -> tuple[RecordEvent, ...]:
    return () if problem is None else (RecordEvent(problem.reason, problem.message, warning=True),)


def _readiness_events(after: status.Status) -> tuple[RecordEvent, ...]:
    """Of a change of Ready that only the controller knows; the kubelet itself tells of a failing probe."""
    (ready,) = (each for each in after["conditions"] if each["type"] == "Ready")
    reason = ready.get("reason", "")
    told = ready["status"] == "False" and reason in CONTROLLERS_REASONS
    return _events(Failure(reason, ready["message"]) if told else None)


def _gone(vmi: VirtualMachineInstance) -> Failure:
    """The pod went without a word of its handler; what was known before says why."""
    ready, message = ready_condition(vmi), f"launcher pod {pod_name(vmi)} is gone"
    if ready is not None and ready.reason in CONTROLLERS_REASONS:
        message += f"; before that, {ready.message}"
    return Failure("PodGone", message)


def _lose(vmi: VirtualMachineInstance, pod: LauncherPod, trouble: Trouble, now: datetime) -> tuple[Action, ...]:
    """The node will not come back. Should it do so, its kubelet ends the pod, so that a guest never runs twice."""
    deleted = pod.spec.node_name if trouble.reason == NODE_DELETED else None
    failed = _fail(vmi, Failure(trouble.reason, trouble.message), now, only_if_node_is_gone=deleted)
    delete = () if pod.metadata.deletion_timestamp else (DeletePod(pod.metadata.name, pod.metadata.uid),)
    return (*failed, *delete)


def _replace_rejected(vmi: VirtualMachineInstance, pod: LauncherPod, now: datetime) -> tuple[Action, ...]:
    """The guest never ran: forget the pod, then delete it; the next pass makes another."""
    if pod.metadata.uid in vmi.status.active_pods:
        message = f"node {pod.spec.node_name} rejected the pod: {pod.status.reason}: {pod.status.message}"
        return _patch_status(vmi, status.unscheduled(vmi, now), (RecordEvent("PodRejected", message, warning=True),))
    if pod.metadata.deletion_timestamp:
        return ()
    wait = max(_REJECTED_POD_SECONDS, min(status.scheduling_seconds(vmi, now) / 2, _REJECTED_POD_SECONDS_LAST))
    age = _age(pod, now)
    if age < wait:
        return (LookAgain(wait - age),)
    return (DeletePod(pod.metadata.name, pod.metadata.uid),)


def _fail(
    vmi: VirtualMachineInstance,
    failure: Failure,
    now: datetime,
    only_if_pod_is_gone: str | None = None,
    only_if_node_is_gone: str | None = None,
) -> tuple[Action, ...]:
    operations = status_patch(vmi, status.failed(vmi, failure, now))
    patch = PatchVmi(tuple(operations), only_if_pod_is_gone, only_if_node_is_gone)
    return (patch, *_events(failure))


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
    return guarded_patch(meta, before, after, "metadata")
