"""Whether a node has what a pod requests, and no taint against it. Pure; called by node.py.

Only what the node's object says: what other pods on it have requested already is the scheduler's to know.
"""

from __future__ import annotations

from collections.abc import Iterator

from virt_core.objects.quantity import parse_quantity

from virt_admin.suite.objects import Node, Pod, Taint, Toleration

_SCHEDULER_MINDS = ("NoSchedule", "NoExecute")
# Kubernetes sets these for states that are named in other words.
_NAMED_OTHERWISE = (
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
)


def taints(node: Node, pod: Pod) -> Iterator[str]:
    """The taints that keep the pod away."""
    for taint in node.spec.taints:
        minded = taint.effect in _SCHEDULER_MINDS and taint.key not in _NAMED_OTHERWISE
        if minded and not any(_tolerates(toleration, taint) for toleration in pod.spec.tolerations):
            value = f"={taint.value}" if taint.value else ""
            yield f"it has the taint {taint.key}{value}:{taint.effect}, which the pod does not tolerate"


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.operator == "Exists":
        return toleration.key in ("", taint.key)
    return (toleration.key, toleration.value) == (taint.key, taint.value)


def lacking(node: Node, pod: Pod) -> Iterator[str]:
    """CPU and memory of which the pod requests more than the whole node has."""
    for resource in ("cpu", "memory"):
        offered = node.status.allocatable.get(resource)
        requests = [(container.resources.get("requests") or {}).get(resource) for container in pod.spec.containers]
        requested = [str(request) for request in requests if request is not None]
        try:
            if offered is not None and sum(map(parse_quantity, requested)) > parse_quantity(offered):
                yield f"it has {resource} {offered} for pods, and the pod requests {' + '.join(requested)}"
        except ValueError:
            continue
