"""The status of a VirtualMachineInstance as far as the controller writes it. Pure; called by plan.py.

Each function returns the whole next status as JSON has it, starting from the stored one, so that fields of the handler
and of other releases stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from virt_core.api.meta import Condition
from virt_core.api.vmi import VirtualMachineInstance, VmiPhase
from virt_core.api.vmi_status import in_phase, stored_conditions

from virt_controller.vmi.observe import ContainerStatus, LauncherPod
from virt_controller.vmi.pod_template import VOLUME_STATUS

Status = dict[str, Any]

# Waiting reasons of a container that are a normal part of its start (kubelet).
_STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a VirtualMachineInstance failed, or does not start."""

    reason: str
    message: str


def scheduled_to(vmi: VirtualMachineInstance, pod: LauncherPod, now: datetime) -> Status:
    """The pod has a node: its handler may start the machine."""
    after = {
        **vmi.raw_status,
        "activePods": {pod.metadata.uid: pod.spec.node_name},
        "nodeName": pod.spec.node_name,
        "launcherContainerImageVersion": pod.metadata.annotations.get("kubevirt.io/launcher-image", ""),
    }
    claims = pod.metadata.annotations.get(VOLUME_STATUS)
    if claims is not None:
        after["volumeStatus"] = msgspec.json.decode(claims)
    after = _conditions(vmi, after, [_not_ready("GuestNotRunning", "the guest is not running yet")], now)
    after["conditions"] = [c for c in after["conditions"] if c["type"] not in ("PodScheduled", "Synchronized")]
    return in_phase(after, VmiPhase.SCHEDULING, now)


def unscheduled(vmi: VirtualMachineInstance, now: datetime) -> Status:
    """The pod that was recorded never ran anything: forget it."""
    after = {**vmi.raw_status, "activePods": {}}
    after.pop("nodeName", None)
    return in_phase(after, VmiPhase.SCHEDULING, now)


def refused(vmi: VirtualMachineInstance, message: str, now: datetime) -> Status:
    """The spec asks for what this release does not do: nothing is begun."""
    return waiting(vmi, Failure("UnsupportedSpec", message), now)


def waiting(vmi: VirtualMachineInstance, failure: Failure, now: datetime) -> Status:
    """Something that the guest needs is not there: nothing is begun until it is."""
    conditions = [
        Condition("Synchronized", "False", failure.reason, failure.message),
        _not_ready("GuestNotRunning", "the guest is not started"),
    ]
    return in_phase(_conditions(vmi, vmi.raw_status, conditions, now), VmiPhase.PENDING, now)


def failed(vmi: VirtualMachineInstance, failure: Failure, now: datetime) -> Status:
    """The guest is gone and will not come back."""
    after = _conditions(vmi, vmi.raw_status, [_not_ready("PodTerminating", failure.message)], now)
    return in_phase({**after, "reason": failure.reason}, VmiPhase.FAILED, now)


def with_problem(vmi: VirtualMachineInstance, problem: Failure | None, now: datetime) -> Status:
    """Says, or no longer says, why the pod does not start."""
    current = {condition.type: condition for condition in vmi.status.conditions}
    kind = "PodScheduled" if problem is not None and problem.reason == "Unschedulable" else "Synchronized"
    if problem is None:
        kept = [c for c in vmi.raw_status.get("conditions", []) if c["type"] not in ("PodScheduled", "Synchronized")]
        changed = len(kept) != len(current)
        return {**vmi.raw_status, "conditions": kept} if changed else vmi.raw_status
    known = current.get(kind)
    if known is not None and known.status == "False" and _same_problem(known, problem):
        return vmi.raw_status
    condition = Condition(kind, "False", problem.reason, problem.message)
    return in_phase(_conditions(vmi, vmi.raw_status, [condition], now), VmiPhase.SCHEDULING, now)


def start_problem(pod: LauncherPod) -> Failure | None:
    """Why the pod does not start, in the words of the scheduler or the kubelet; None if nothing is wrong."""
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False" and scheduled.reason == "Unschedulable":
        return Failure(scheduled.reason, scheduled.message)
    for container in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        waiting = container.state.waiting
        if waiting is not None and waiting.reason not in _STARTING:
            return Failure(waiting.reason, f"container {container.name}: {waiting.message or waiting.reason}")
    return None


def ended_pod(pod: LauncherPod) -> Failure:
    """How a pod ended whose handler did not say how the guest ended."""
    ended = list(_terminated((*pod.status.container_statuses, *pod.status.init_container_statuses)))
    told = "; ".join(ended) or f"{pod.status.reason} {pod.status.message}".strip() or "no reason given"
    return Failure("PodEnded", f"launcher pod {pod.metadata.name} ended: {told}")


def _terminated(containers: Iterable[ContainerStatus]) -> Iterable[str]:
    for container in containers:
        state = container.state.terminated
        if state is not None and state.exit_code != 0:
            yield f"container {container.name}: {state.reason} (exit code {state.exit_code}) {state.message}".strip()


def _same_problem(known: Condition, problem: Failure) -> bool:
    # Back-off texts carry changing numbers: a new message alone is no reason to write.
    pulling = {"ErrImagePull", "ImagePullBackOff"}
    return known.reason == problem.reason or {known.reason, problem.reason} <= pulling


def _not_ready(reason: str, message: str) -> Condition:
    return Condition("Ready", "False", reason, message)


def _conditions(vmi: VirtualMachineInstance, after: Status, wanted: list[Condition], now: datetime) -> Status:
    return {**after, "conditions": stored_conditions(vmi, wanted, now)}
