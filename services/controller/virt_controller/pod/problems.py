"""Explains from a launcher pod's status and events why it does not start, and how it ended. Pure.

Called by plan.py. Messages are the scheduler's and the kubelet's, with the names of container and image added.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from virt_core.conventions.launcher_pod import COMPUTE, GUEST_DESTROYED, GUEST_SHUTDOWN
from virt_core.objects.event import Event
from virt_core.objects.meta import seconds_since

from virt_controller.pod.containers import VOLUME_PREFIX
from virt_controller.pod.observed import ContainerStatus, LauncherPod

UNSCHEDULABLE = "Unschedulable"
_NO_SCHEDULER = "SchedulerNotResponding"  # ours: Kubernetes says nothing of a pod that no scheduler looks at
SCHEDULING = frozenset({UNSCHEDULABLE, "SchedulingGated", "SchedulerError", _NO_SCHEDULER})
"""Reasons why a pod has no node: those of Kubernetes' condition PodScheduled, and ours."""

# Waiting reasons of a container that are a normal part of its start (kubelet).
_STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})
PULLING = frozenset({"ErrImagePull", "ImagePullBackOff"})
"""The kubelet alternates between these reasons, and so does the status, as in KubeVirt. It is one problem."""

_OTHER = "ContainerNotStarted"  # for a waiting reason that this release does not know
_WAITING = PULLING | {
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ImageInspectError",
    "InvalidImageName",
    "RegistryUnavailable",
    "RunContainerError",
}
# Events (kubelet, attach controller) of a pod whose containers do not exist yet. Its status does not show the problem.
_BEFORE_CONTAINERS = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox"})
# Events before the kubelet ends a pod: an eviction, which the pod's status may lack, or a failed probe.
_EVICTED, _UNHEALTHY = "Evicted", "Unhealthy"
# A pod's volume in the kubelet's words: volume "volume-data", volumes=[volume-data volume-more].
_POD_VOLUME = re.compile(rf'(?:(?<=["\[])|(?<= )(?=[^\[\]]*\])){VOLUME_PREFIX}(?=[a-z0-9])')
_KILLED = 137  # exit code after SIGKILL
_REJECTED_POD_SECONDS, _REJECTED_POD_SECONDS_LAST = 1.0, 60.0
CLAIM_NOT_FOUND, CREATE_REFUSED = "FailedPvcNotFound", "FailedCreate"  # KubeVirt's
NOT_CONFIGURED = "NotConfigured"  # ours
BEFORE_POD = frozenset({CLAIM_NOT_FOUND, CREATE_REFUSED, NOT_CONFIGURED})
"""Reasons why there is no pod yet. They are obsolete as soon as there is a pod."""
REASONS = _WAITING | _BEFORE_CONTAINERS | {_OTHER}
"""All reasons of `start_problem` except SCHEDULING. A condition with one of these was written by this controller."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a VirtualMachineInstance failed, or does not start."""

    reason: str
    message: str


def start_problem(pod: LauncherPod, events: Iterable[Event] = ()) -> Failure | None:
    """Why the pod does not start; None if there is no problem. `events` are the pod's warnings, if they were read."""
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False" and scheduled.reason in SCHEDULING:
        return Failure(scheduled.reason, scheduled.message)
    for container in pod.containers:
        waiting = container.state.waiting
        if waiting is not None and waiting.reason not in _STARTING:
            reason = waiting.reason if waiting.reason in _WAITING else _OTHER
            return Failure(reason, _waits(container, waiting.reason, waiting.message))
    if pod.begun:
        return None
    early = [event for event in events if event.reason in _BEFORE_CONTAINERS]
    newest = max(early, key=lambda event: event.last_seen, default=None)
    return Failure(newest.reason, _with_user_volumes(newest.note)) if newest is not None else None


def without_scheduler(pod: LauncherPod) -> Failure | None:
    """The problem of a pod that waits for long; None if a scheduler has looked at it."""
    if pod.spec.node_name or pod.condition("PodScheduled") is not None:
        return None
    scheduler = pod.spec.scheduler_name or "default-scheduler"
    message = f"scheduler {scheduler} has not looked at launcher pod {pod.metadata.name} yet"
    return Failure(_NO_SCHEDULER, f"{message}: it does not run, or is busy")


def _with_user_volumes(note: str) -> str:
    """The kubelet's words with the volumes of the VMI, whose names in the pod have a prefix."""
    return _POD_VOLUME.sub("", note)


def _waits(container: ContainerStatus, reason: str, message: str) -> str:
    message = f"container {container.name}, image {container.image}: {message or reason}"
    last = container.last_state.terminated
    return message if last is None else f"{message}; it ended before with exit code {last.exit_code}: {last.summary}"


def rejection(pod: LauncherPod) -> Failure:
    """Why the node of a rejected pod has not run it."""
    why = f"{pod.status.reason}: {pod.status.message}" if pod.status.reason else "; ".join(_terminated(pod.containers))
    return Failure("PodRejected", f"node {pod.spec.node_name} rejected the pod: {why}")


def seconds_to_replace(pod: LauncherPod, attempted: float, now: datetime) -> float:
    """How long a rejected pod is kept before another is created, for the node's device plugin to restart. The delay
    grows with the `attempted` seconds since the first pod."""
    delay = max(_REJECTED_POD_SECONDS, min(attempted / 2, _REJECTED_POD_SECONDS_LAST))
    return delay - seconds_since(pod.metadata.creation_timestamp, now)


def shut_down(pod: LauncherPod) -> bool:
    """Whether the launcher's termination message says that the guest shut down by itself."""
    return _last_word(pod) == GUEST_SHUTDOWN


def _last_word(pod: LauncherPod) -> str:
    """The launcher's termination message. The guest's side controls it, so callers accept known words only."""
    states = (status.state.terminated for status in pod.status.container_statuses if status.name == COMPUTE)
    state = next(states, None)
    return state.message.strip() if state is not None and state.exit_code == 0 else ""


def how_it_ended(pod: LauncherPod, events: Iterable[Event] = ()) -> Failure:
    """How a pod ended whose handler did not report the end. `events` are the pod's warnings, if they were read."""
    name = pod.metadata.name
    for container in pod.containers:
        state = container.state.terminated
        if state is not None and state.reason == "OOMKilled":
            cause = f"for want of memory: OOMKilled (exit code {state.exit_code})"
            return Failure("OOMKilled", f"container {container.name} of launcher pod {name} was killed {cause}")
    ended = "; ".join(_terminated(pod.containers))
    if pod.status.reason:  # the kubelet's own decision: Evicted, Terminated (the node shuts down), DeadlineExceeded
        cause = f"{pod.status.reason}: {pod.status.message}" + (f" ({ended})" if ended else "")
        return Failure(_camel_case(pod.status.reason), f"launcher pod {name} ended: {cause}")
    why = [event for event in events if event.reason == _EVICTED or _is_not_alive(event)]
    newest = max(why, key=lambda event: event.last_seen, default=None)
    if newest is not None:
        return Failure(newest.reason, f"launcher pod {name} was ended by the kubelet: {newest.note}")
    if (seconds := _shortened_grace(pod)) is not None and any(_was_killed(container) for container in pod.containers):
        message = f"the guest was stopped by force: it was killed with its pod {seconds} s after the pod's deletion"
        return Failure(GUEST_DESTROYED, message)
    if _last_word(pod) == GUEST_DESTROYED:
        return Failure(GUEST_DESTROYED, "the guest did not shut down in its grace period and was destroyed")
    return Failure("PodEnded", f"launcher pod {name} ended: {ended or 'no reason given'}")


def _shortened_grace(pod: LauncherPod) -> int | None:
    """The seconds that a deleted pod had, if they were fewer than its spec says; else None."""
    left, own = pod.metadata.deletion_grace_period_seconds, pod.spec.termination_grace_period_seconds
    return left if left is not None and own is not None and left < own else None


def _was_killed(container: ContainerStatus) -> bool:
    state = container.state.terminated
    return state is not None and state.exit_code == _KILLED


def _is_not_alive(event: Event) -> bool:
    return event.reason == _UNHEALTHY and event.note.startswith("Liveness")


def why_taken(pod: LauncherPod) -> str:
    """Why the pod is terminating, from its condition DisruptionTarget: eviction, taint, preemption."""
    disrupted = pod.condition("DisruptionTarget")
    detail = (
        f": {disrupted.reason}: {disrupted.message}" if disrupted is not None and disrupted.status == "True" else ""
    )
    return f"launcher pod {pod.metadata.name} is being taken away{detail}"


def _terminated(containers: Iterable[ContainerStatus]) -> Iterable[str]:
    for container in containers:
        state = container.state.terminated
        if state is not None and state.exit_code != 0:
            yield f"container {container.name}: {state.reason} (exit code {state.exit_code}) {state.message}".strip()


def _camel_case(reason: str) -> str:
    """`reason` as a single word. A pod's reason may be any text, a condition's may not."""
    return reason if reason.isidentifier() else "PodEnded"
