"""The controller's part of a VirtualMachineInstance's status. Pure; called by plan.py.

Each function returns the complete next status as JSON, based on the stored status, so that fields of the handler and of
other releases stay unchanged.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
from virt_core.conventions import labels
from virt_core.conventions.conditions import GUEST_NOT_RUNNING, READY, SYNCHRONIZED, UNSUPPORTED_SPEC
from virt_core.objects.meta import Condition, condition_of, seconds_since
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase
from virt_core.vmi.spec.domain import VmiSpec
from virt_core.vmi.spec.effective import claim_of
from virt_core.vmi.status import (
    CONTROLLERS_REASONS,
    NOT_RUNNING_YET,
    POD_TERMINATING,
    has_readiness_probe,
    in_phase,
    ready_condition,
    stored_conditions,
)

from virt_controller.node.health import Trouble
from virt_controller.pod.observed import LauncherPod
from virt_controller.pod.problems import BEFORE_POD, REASONS, SCHEDULING, Failure, why_taken
from virt_controller.pod.template import LAUNCHER_IMAGE, VOLUME_STATUS

Status = dict[str, Any]


def scheduled_to(vmi: VirtualMachineInstance, pod: LauncherPod, now: datetime) -> Status:
    """The pod has a node: its handler may start the machine."""
    after = {
        **vmi.raw_status,
        "activePods": {pod.metadata.uid: pod.spec.node_name},
        "nodeName": pod.spec.node_name,
        "runtimeUser": labels.LAUNCHER_UID,
        "launcherContainerImageVersion": pod.metadata.annotations.get(LAUNCHER_IMAGE, ""),
    }
    if pod.status.qos_class:
        after["qosClass"] = pod.status.qos_class
    if (claims := _claims(pod)) is not None:
        after["volumeStatus"] = claims
    after = _conditions(vmi, after, [NOT_RUNNING_YET], now)
    after["conditions"] = [c for c in after["conditions"] if c["type"] not in ("PodScheduled", SYNCHRONIZED)]
    return in_phase(after, VmiPhase.SCHEDULING, now)


def _claims(pod: LauncherPod) -> list[dict[str, Any]] | None:
    """State of the pod's claims at its creation; None if it has none, or the annotation was changed."""
    try:
        return msgspec.json.decode(
            pod.metadata.annotations.get(VOLUME_STATUS, "null"), type=list[dict[str, Any]] | None
        )
    except msgspec.DecodeError:
        return None


def unscheduled(vmi: VirtualMachineInstance, now: datetime) -> Status:
    """Remove the pod from activePods: it never ran the guest."""
    after = {**vmi.raw_status, "activePods": {}}
    after.pop("nodeName", None)
    return in_phase(after, VmiPhase.SCHEDULING, now)


def scheduling_seconds(vmi: VirtualMachineInstance, now: datetime) -> float:
    """Seconds since the first attempt to create a pod; 0 if the status does not show it."""
    for transition in vmi.status.phase_transition_timestamps:
        if transition.get("phase") == VmiPhase.SCHEDULING:
            return seconds_since(transition.get("phaseTransitionTimestamp"), now)
    return 0.0


def tells(vmi: VirtualMachineInstance, failure: Failure) -> bool:
    """Whether the status has the failure's reason, with any message."""
    return any(
        condition.type == SYNCHRONIZED and condition.reason == failure.reason for condition in vmi.status.conditions
    )


def unsynchronized_seconds(vmi: VirtualMachineInstance, failure: Failure, now: datetime) -> float:
    """Seconds since the status shows `failure`; 0 if it does not."""
    for condition in vmi.status.conditions:
        if condition.type == SYNCHRONIZED and condition.reason == failure.reason:
            return seconds_since(condition.last_transition_time, now)
    return 0.0


def refused(vmi: VirtualMachineInstance, message: str, now: datetime) -> Status:
    """The spec is refused: no pod is created."""
    return waiting(vmi, Failure(UNSUPPORTED_SPEC, message), now)


def waiting(vmi: VirtualMachineInstance, failure: Failure, now: datetime) -> Status:
    """Something that the guest needs is missing: no pod is created until it exists. A VMI whose rejected pod was
    removed keeps the phase Scheduling."""
    conditions = [
        Condition(SYNCHRONIZED, "False", failure.reason, failure.message),
        _not_ready(GUEST_NOT_RUNNING, "the guest is not started"),
    ]
    phase = VmiPhase.SCHEDULING if vmi.status.phase == VmiPhase.SCHEDULING else VmiPhase.PENDING
    return in_phase(_conditions(vmi, vmi.raw_status, conditions, now), phase, now)


def waiting_for_binding(vmi: VirtualMachineInstance, spec: VmiSpec, unbound: Collection[str]) -> Status:
    """These claims get their volumes when the pod is scheduled. The pod's hand-over replaces the entries."""
    claims = {volume.name: claim.claim_name for volume in spec.volumes if (claim := claim_of(volume)) is not None}
    entries = [
        {"name": volume, "target": "", "phase": "Pending", "message": f"PersistentVolumeClaim {claim} is not bound yet"}
        for volume, claim in claims.items()
        if claim in unbound
    ]
    return {**vmi.raw_status, "volumeStatus": entries}


def failed(vmi: VirtualMachineInstance, failure: Failure, now: datetime) -> Status:
    """The guest is gone for good."""
    return ended(vmi, VmiPhase.FAILED, failure, now)


def ended(vmi: VirtualMachineInstance, phase: VmiPhase, why: Failure, now: datetime) -> Status:
    """The guest has ended in `phase`, which is final."""
    after = _conditions(vmi, vmi.raw_status, [_not_ready(why.reason, why.message)], now)
    return in_phase({**after, "reason": why.reason}, phase, now)


def with_problem(vmi: VirtualMachineInstance, problem: Failure | None, now: datetime) -> Status:
    """Sets or removes the condition that says why the pod does not start."""
    if problem is None:
        kept = [condition for condition in vmi.raw_status.get("conditions", []) if not _is_problem(condition)]
        changed = len(kept) != len(vmi.status.conditions)
        return {**vmi.raw_status, "conditions": kept} if changed else vmi.raw_status
    kind = "PodScheduled" if problem.reason in SCHEDULING else SYNCHRONIZED
    known = condition_of(vmi.status.conditions, kind)
    if known is not None and known.status == "False" and _same_problem(known, problem):
        return vmi.raw_status
    after = _conditions(vmi, vmi.raw_status, [Condition(kind, "False", problem.reason, problem.message)], now)
    after["conditions"] = [condition for condition in after["conditions"] if condition.get("reason") not in BEFORE_POD]
    # If a container ends again later, the phase stays Scheduled.
    return after if vmi.status.phase == VmiPhase.SCHEDULED else in_phase(after, VmiPhase.SCHEDULING, now)


def with_readiness(vmi: VirtualMachineInstance, pod: LauncherPod, trouble: Trouble | None, now: datetime) -> Status:
    """Sets Ready in the controller's cases: the pod is terminating, its node is in trouble, or the user has a probe.

    Otherwise Ready is the handler's. A handler does not overwrite the controller's cases (ready_is_controllers), so the
    two never overwrite each other.
    """
    current, running = ready_condition(vmi), vmi.status.phase == VmiPhase.RUNNING
    if trouble is not None:
        wanted = _not_ready(trouble.reason, trouble.message)
    elif pod.terminating:
        wanted = _not_ready(POD_TERMINATING, why_taken(pod))
    elif running and has_readiness_probe(vmi):
        wanted = _as_probed(pod)
    elif current is None or current.reason not in CONTROLLERS_REASONS:
        return vmi.raw_status
    elif running:
        wanted = Condition(
            READY, "Unknown", "Recovered", f"{current.reason} is over; virt-handler has not reported yet"
        )
    else:
        wanted = NOT_RUNNING_YET
    if current is not None and (current.status, current.reason) == (wanted.status, wanted.reason):
        return vmi.raw_status
    return _conditions(vmi, vmi.raw_status, [wanted], now)


def _as_probed(pod: LauncherPod) -> Condition:
    condition = pod.condition(READY)
    if condition is None:
        return _not_ready("PodConditionMissing", "the kubelet has not reported yet whether the pod is ready")
    return Condition(READY, condition.status, condition.reason, condition.message)


def _is_problem(condition: dict[str, Any]) -> bool:
    """Whether the condition is obsolete once the pod starts. Only the handler removes its own Synchronized
    condition."""
    kind, reason = condition["type"], condition.get("reason")
    return kind == "PodScheduled" or (kind == SYNCHRONIZED and reason in REASONS | BEFORE_POD)


def _same_problem(known: Condition, problem: Failure) -> bool:
    if known.reason in SCHEDULING:
        return known.message == problem.message
    # The kubelet's messages contain changing times and back-offs: a new message alone does not need a write.
    return known.reason == problem.reason


def _not_ready(reason: str, message: str) -> Condition:
    return Condition(READY, "False", reason, message)


def _conditions(vmi: VirtualMachineInstance, after: Status, wanted: list[Condition], now: datetime) -> Status:
    return {**after, "conditions": stored_conditions(vmi, wanted, now)}
