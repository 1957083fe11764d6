"""Why a pod is not ready, in the words of scheduler, kubelet or container. Pure; called by summary.py and doctor/."""

from __future__ import annotations

from virt_core.objects.meta import condition_of

from virt_admin.suite.objects import ContainerStatus, Pod

_STARTING = ("", "ContainerCreating", "PodInitializing")


def pod_trouble(pod: Pod) -> str:
    """What keeps the pod from being ready; "" if that is not known, or it is on its usual way."""
    scheduled = condition_of(pod.status.conditions, "PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        return f"{scheduled.reason}: {scheduled.message}"
    if pod.status.reason:
        return f"{pod.status.reason}: {pod.status.message}"
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    return next(filter(None, map(_container_trouble, statuses)), "")


def _container_trouble(container: ContainerStatus) -> str:
    waiting, last = container.state.waiting, container.last_state.terminated
    if waiting is not None and waiting.reason not in _STARTING:
        ended = f", last exit code {last.exit_code}" if last is not None and last.exit_code is not None else ""
        why = f"{waiting.reason}: {waiting.message}" if waiting.message else waiting.reason
        return f"container {container.name}, image {container.image}: {why}{ended}"
    ended_now = container.state.terminated
    if ended_now is not None and ended_now.exit_code:
        what = f"container {container.name} ended: {ended_now.reason} (exit code {ended_now.exit_code})"
        return f"{what} {ended_now.message.strip()}".strip()
    return ""
