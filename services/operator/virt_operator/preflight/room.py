"""Whether a node has room for another pod: labels, taints, allocatable resources minus what pods request. Pure.

Not everything that the scheduler knows: affinities, topology spread, volumes' zones and ports of the node are left out,
so that room may be found where the scheduler finds none, but never the other way round.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache

from virt_core.conventions.labels import SCHEDULABLE
from virt_core.objects.meta import condition_of
from virt_core.objects.quantity import parse_quantity

from virt_operator.preflight.kinds import Container, Node, Pod, Taint, Toleration

Amounts = dict[str, int]
"""Thousandths by resource."""

_ENDED = ("Succeeded", "Failed")
_PODS = "pods"
_REPELS = ("NoSchedule", "NoExecute")
_Class = tuple[tuple[tuple[str, str], ...], tuple[Toleration, ...]]


class Room:
    """What is free on each node that takes guests."""

    def __init__(self, nodes: Iterable[Node], pods: Iterable[Pod]) -> None:
        taking = {node.metadata.name: node for node in nodes if takes_guests(node)}
        free = {name: _amounts(node.status.allocatable) for name, node in taking.items()}
        for pod in pods:
            there = free.get(pod.spec.node_name)
            if there is None or pod.status.phase in _ENDED:
                continue
            for resource, amount in needs(pod).items():
                if resource in there:
                    there[resource] -= amount
        self._nodes, self._free = taking, free
        self._candidates: dict[_Class, tuple[str, ...]] = {}

    def for_another(self, pod: Pod, beside: str) -> str | None:
        """Why no node but `beside` takes a pod like `pod`; None if one does."""
        wanted = needs(pod)
        candidates = self._candidates_of(pod)
        shortest: dict[str, int] = defaultdict(int)
        for name in candidates:
            if name == beside:
                continue
            lacking = _lacking(self._free[name], wanted)
            if lacking is None:
                return None
            shortest[lacking] += 1
        if not shortest:
            return "no other node that takes guests has the labels and taints that it needs"
        return ", ".join(f"{count} with too little {resource}" for resource, count in sorted(shortest.items()))

    def _candidates_of(self, pod: Pod) -> tuple[str, ...]:
        """The nodes that match its labels and tolerations, those with most memory first."""
        selector = {key: value for key, value in pod.spec.node_selector.items() if key != SCHEDULABLE}
        kind = (tuple(sorted(selector.items())), tuple(pod.spec.tolerations))
        found = self._candidates.get(kind)
        if found is None:
            matching = (node for node in self._nodes.values() if _matches(node, selector, pod.spec.tolerations))
            names = [node.metadata.name for node in matching]
            names.sort(key=lambda name: self._free[name].get("memory", 0), reverse=True)
            found = self._candidates[kind] = tuple(names)
        return found


def takes_guests(node: Node) -> bool:
    """Whether the scheduler may place a launcher pod there."""
    ready = condition_of(node.status.conditions, "Ready")
    schedulable = node.metadata.labels.get(SCHEDULABLE) == "true" and not node.spec.unschedulable
    return schedulable and ready is not None and ready.status == "True"


def needs(pod: Pod) -> Amounts:
    """What the scheduler counts for a pod: the sum of its containers, or an init container that needs more."""
    spec = pod.spec
    total: Amounts = defaultdict(int)
    total[_PODS] = 1000
    for container in spec.containers:
        _add(total, container)
    for container in spec.init_containers:
        if container.restart_policy == "Always":
            _add(total, container)
    for container in spec.init_containers:
        for resource, text in container.resources.requests.items():
            total[resource] = max(total[resource], _thousandths(text))
    for resource, text in spec.overhead.items():
        total[resource] += _thousandths(text)
    return total


def _add(total: Amounts, container: Container) -> None:
    for resource, text in container.resources.requests.items():
        total[resource] += _thousandths(text)


def _lacking(free: Mapping[str, int], wanted: Mapping[str, int]) -> str | None:
    return next((resource for resource, amount in wanted.items() if amount > free.get(resource, 0)), None)


def _matches(node: Node, selector: Mapping[str, str], tolerations: Iterable[Toleration]) -> bool:
    labels = node.metadata.labels
    if any(labels.get(key) != value for key, value in selector.items()):
        return False
    accepted = list(tolerations)
    return all(
        any(_tolerates(toleration, taint) for toleration in accepted)
        for taint in node.spec.taints
        if taint.effect in _REPELS
    )


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect not in ("", taint.effect):
        return False
    if toleration.operator == "Exists":
        return toleration.key in ("", taint.key)
    return (toleration.key, toleration.value) == (taint.key, taint.value)


def _amounts(texts: Mapping[str, str]) -> Amounts:
    return {resource: _thousandths(text) for resource, text in texts.items()}


@lru_cache(maxsize=4096)  # a cluster has few sizes
def _thousandths(text: str) -> int:
    """A quantity in thousandths; 0 for what is none, which the API server stores of nobody."""
    try:
        return int(parse_quantity(text) * 1000)
    except ValueError:
        return 0
