"""Whether a component runs as its object says, why not, and which of its pods is replaced next. Pure.

Called by change/objects.py, change/object_steps.py and, for the reasons alone, by the other steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from virt_core.conventions import labels

from virt_operator.strategy.pods import TEMPLATE_HASH
from virt_operator.strategy.ref import Body, Ref
from virt_operator.suite.actions import DeletePod
from virt_operator.suite.observed import OwnedObject, PodObject

_CONDITIONS = {"CustomResourceDefinition": "Established", "APIService": "Available"}


def not_ready(ref: Ref, live: OwnedObject, pods: Iterable[PodObject], template_hash: str) -> str | None:
    """Why the object is not yet what the suite needs, None if it is. Kinds without a state of their own always are."""
    if ref.kind in _CONDITIONS:
        return _condition_missing(live, _CONDITIONS[ref.kind])
    if ref.kind not in ("Deployment", "DaemonSet"):
        return None
    return _workload_not_ready(ref, live, pods_of(ref.name, pods), template_hash)


def _workload_not_ready(ref: Ref, live: OwnedObject, pods: list[PodObject], template_hash: str) -> str | None:
    status = live.status
    if status.get("observedGeneration", 0) < live.metadata.generation:
        return "its controller has not seen the newest template"
    if ref.kind == "Deployment":
        wanted, ready = _replicas(live), status.get("availableReplicas", 0)
        settled = status.get("updatedReplicas", 0) == wanted == status.get("replicas", 0)
    else:
        wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
        settled = not _old(pods, template_hash)
    if settled and ready >= wanted:
        return None
    if not settled and ready >= wanted:
        return "replacing pods of the old template"
    details = _trouble(live, pods)
    return f"{ready} of {wanted} pods are ready{details}"


def pods_of(component: str, pods: Iterable[PodObject]) -> list[PodObject]:
    """The pods of one component."""
    return [pod for pod in pods if pod.metadata.labels.get(labels.APP) == component]


def replace_one(component: str, pods: Iterable[PodObject], template_hash: str) -> DeletePod | None:
    """The next old pod of a DaemonSet to delete: one that is not ready first, else one when all are ready."""
    own = pods_of(component, pods)
    if any(pod.metadata.deletion_timestamp for pod in own):
        return None
    old = _old(own, template_hash)
    broken = [pod for pod in old if not pod.ready]
    if not broken and not all(pod.ready for pod in own):
        return None
    for pod in broken or old:
        return DeletePod(pod.metadata.name, pod.metadata.uid, "made from an older template")
    return None


def template_hash_of(desired: Body) -> str:
    """The hash that pods of this workload carry; "" for other kinds."""
    template = desired.get("spec", {}).get("template", {})
    found: str = template.get("metadata", {}).get("annotations", {}).get(TEMPLATE_HASH, "")
    return found


def _replicas(live: OwnedObject) -> int:
    replicas: int = live.content().get("spec", {}).get("replicas", 1)
    return replicas


def _old(pods: Iterable[PodObject], template_hash: str) -> list[PodObject]:
    old = [pod for pod in pods if pod.metadata.annotations.get(TEMPLATE_HASH) != template_hash]
    return sorted(old, key=lambda pod: pod.metadata.name)


def _condition_missing(live: OwnedObject, kind: str) -> str | None:
    condition = live.condition(kind)
    if condition.get("status") == "True":
        return None
    return f"not {kind}: {condition.get('message') or condition.get('reason') or 'nothing is known yet'}"


def _trouble(live: OwnedObject, pods: Iterable[PodObject]) -> str:
    failure = live.condition("ReplicaFailure")
    return trouble(pods, [str(failure.get("message"))] if failure.get("status") == "True" else [])


def trouble(pods: Iterable[PodObject], reasons: Iterable[str] = ()) -> str:
    """What keeps pods from being ready, in parentheses, for the end of a message; "" if nothing is known."""
    found = [*reasons, *(f"pod {pod.metadata.name}: {why}" for pod in pods if (why := _pod_trouble(pod)))]
    return f" ({'; '.join(found[:3])})" if found else ""


def _pod_trouble(pod: PodObject) -> str | None:
    """The reason that a user can act on, with the image if it is one."""
    for status in pod.status.get("containerStatuses") or ():
        state: dict[str, Any] = status.get("state") or {}
        waiting = state.get("waiting") or {}
        if waiting.get("reason"):
            last = (status.get("lastState") or {}).get("terminated") or {}
            ended = f", last exit code {last['exitCode']}" if "exitCode" in last else ""
            message = f": {waiting['message']}" if waiting.get("message") else ""
            return f"{waiting['reason']} of image {status.get('image', '')}{message}{ended}"
    for condition in pod.status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason', '')}: {condition.get('message', '')}"
    return None
