"""Readiness of a component, the reasons if it is not ready, and the next pod to replace. Pure.

Called by change/objects.py, change/object_steps.py and, for the reasons only, by the other steps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from virt_core.conventions import labels
from virt_core.conventions.component_pod import TEMPLATE_HASH

from virt_operator.strategy.ref import WORKLOADS, Body, Ref
from virt_operator.suite.actions import DeletePod
from virt_operator.suite.observed import Observed, OwnedObject, PodObject

_NAMED = 5  # nodes in a message
_CONDITIONS = {"CustomResourceDefinition": "Established", "APIService": "Available"}


def not_ready(ref: Ref, live: OwnedObject, observed: Observed, template_hash: str) -> str | None:
    """Why the object is not ready; None if it is. Kinds without a status are always ready."""
    if ref.kind in _CONDITIONS:
        return _condition_missing(live, _CONDITIONS[ref.kind])
    if ref.kind in WORKLOADS and live.status.get("observedGeneration", 0) < live.metadata.generation:
        return "its controller has not seen the newest template"
    match ref.kind:
        case "Deployment":
            return _deployment_not_ready(live, pods_of(ref.name, observed.pods))
        case "DaemonSet":
            return _daemon_set_not_ready(live, observed, ref.name, template_hash)
    return None


def serving(live: OwnedObject) -> int:
    """Replicas of a Deployment that serve. While it is held (hold.py), new ones do not count as available for minutes,
    nor do old ones that are young."""
    count: int = max(live.status.get("availableReplicas", 0), live.status.get("readyReplicas", 0))
    return count


def _deployment_not_ready(live: OwnedObject, pods: list[PodObject]) -> str | None:
    status = live.status
    wanted, ready = _replicas(live), status.get("availableReplicas", 0)
    settled = status.get("updatedReplicas", 0) == wanted == status.get("replicas", 0)
    return _still(settled, ready, wanted, _trouble(live, pods))


def _daemon_set_not_ready(live: OwnedObject, observed: Observed, name: str, template_hash: str) -> str | None:
    """Unreachable nodes do not count, because nobody knows when they return."""
    status, here = live.status, reachable(name, observed)
    # The DaemonSet's controller does not count pods of deleted nodes either.
    away = {pod.node for pod in _unreachable(name, observed) if pod.node in observed.nodes}
    wanted = max(0, status.get("desiredNumberScheduled", 0) - len(away))
    # With customized tolerations a DaemonSet may not count unreachable nodes, so the pods are checked as well.
    ready = min(status.get("numberReady", 0), max(0, wanted - sum(not pod.ready for pod in here)))
    return _still(not outdated(here, template_hash), ready, wanted, _trouble(live, here))


def _still(settled: bool, ready: int, wanted: int, details: str) -> str | None:
    if ready < wanted:
        return f"{ready} of {wanted} pods are ready{details}"
    return None if settled else "replacing pods of the old template"


def pods_of(component: str, pods: Iterable[PodObject]) -> list[PodObject]:
    """The pods of a component."""
    return [pod for pod in pods if pod.metadata.labels.get(labels.APP) == component]


def next_pods(
    component: str, observed: Observed, template_hash: str, at_once: int = 1, urgent: Collection[str] = ()
) -> list[DeletePod]:
    """The next old pods of a DaemonSet to delete: all on `urgent` nodes, otherwise `at_once`, unready ones first,
    others only if all pods are ready. Pods on unreachable nodes are ignored and not deleted."""
    here = reachable(component, observed)
    old = outdated(here, template_hash)
    chosen = [pod for pod in old if pod.node in urgent and pod.metadata.deletion_timestamp is None]
    if not chosen:
        if any(pod.metadata.deletion_timestamp for pod in here):
            return []
        broken = [pod for pod in old if not pod.ready]
        if not broken and not all(pod.ready for pod in here):
            return []
        chosen = (broken or old)[:at_once]
    return [DeletePod(pod.metadata.name, pod.metadata.uid, "made from an older template") for pod in chosen]


def new_pods(component: str, observed: Observed, template_hash: str) -> list[PodObject]:
    """The ready pods of the present template that stay, on reachable nodes."""
    return [
        pod
        for pod in reachable(component, observed)
        if pod.metadata.annotations.get(TEMPLATE_HASH) == template_hash
        and pod.ready
        and pod.metadata.deletion_timestamp is None
    ]


def left_for_later(component: str, observed: Observed, template_hash: str) -> list[str]:
    """Messages about pods on unreachable nodes. No step waits for them."""
    there = [pod for pod in _unreachable(component, observed) if pod.node in observed.nodes]
    old = {pod.node for pod in outdated(there, template_hash)}
    new = {pod.node for pod in there} - old
    found = [_later(old, "old pod", "will be replaced when", "will be replaced when")] if old else []
    return found + ([_later(new, "pod", "does not count until", "do not count until")] if new else [])


def _later(nodes: set[str], what: str, singular: str, many: str) -> str:
    names = sorted(nodes)
    if len(names) == 1:
        return f"the {what} on node {names[0]} {singular} the node is back"
    listed = ", ".join((*names[:_NAMED], *(["…"] if len(names) > _NAMED else [])))
    return f"the {what}s on {len(names)} nodes ({listed}) {many} the nodes are back"


def reachable(component: str, observed: Observed) -> list[PodObject]:
    """The pods of a component on reachable nodes, or on none yet."""
    return [pod for pod in pods_of(component, observed.pods) if observed.node_trouble(pod) is None]


def _unreachable(component: str, observed: Observed) -> list[PodObject]:
    return [pod for pod in pods_of(component, observed.pods) if observed.node_trouble(pod) is not None]


def template_hash_of(desired: Body) -> str:
    """The hash that pods of this workload carry; "" for other kinds."""
    template = desired.get("spec", {}).get("template", {})
    found: str = template.get("metadata", {}).get("annotations", {}).get(TEMPLATE_HASH, "")
    return found


def _replicas(live: OwnedObject) -> int:
    replicas: int = live.content().get("spec", {}).get("replicas", 1)
    return replicas


def outdated(pods: Iterable[PodObject], template_hash: str) -> list[PodObject]:
    """The pods of another template, by name."""
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
    """Why pods are not ready, in parentheses, for the end of a message; "" if unknown."""
    found = [*reasons, *(f"pod {pod.metadata.name}: {why}" for pod in pods if (why := _pod_trouble(pod)))]
    return f" ({'; '.join(found[:3])})" if found else ""


def _pod_trouble(pod: PodObject) -> str | None:
    """The most useful reason for a user, with the image if it cannot be pulled."""
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
