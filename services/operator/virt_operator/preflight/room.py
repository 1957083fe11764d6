"""Whether a node has room for another pod: labels, taints, allocatable resources minus what pods request. Pure.

Not everything that the scheduler knows: affinities, topology spread, volumes' zones and ports of the node are left out,
so that room may be found where the scheduler finds none, but never the other way round.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from heapq import nlargest
from itertools import islice

from virt_core.conventions.labels import SCHEDULABLE
from virt_core.objects.meta import condition_of
from virt_core.objects.quantity import parse_quantity

from virt_operator.preflight.kinds import Node, Pod, Taint, Toleration

Amounts = dict[str, int]
"""Thousandths by resource."""

_ENDED = ("Succeeded", "Failed")
_PODS = "pods"
_REPELS = ("NoSchedule", "NoExecute")
_Kind = tuple[tuple[tuple[str, str], ...], tuple[Toleration, ...]]


class Room:
    """What is free on each node that takes guests."""

    def __init__(self, nodes: Iterable[Node], pods: Iterable[Pod]) -> None:
        self._nodes = {node.metadata.name: node for node in nodes if takes_guests(node)}
        self._free = {name: _amounts(node.status.allocatable) for name, node in self._nodes.items()}
        self._kinds: dict[_Kind, _Candidates] = {}
        for pod in pods:
            there = self._free.get(pod.spec.node_name)
            if there is None or pod.status.phase in _ENDED:
                continue
            for resource, amount in needs(pod).items():
                if resource in there:
                    there[resource] -= amount

    def for_another(self, pod: Pod, wanted: Amounts, beside: str) -> str | None:
        """Why no node but `beside` takes a pod like `pod`, which needs `wanted`; None if one does."""
        candidates = self._candidates_of(pod)
        if any(name != beside for name in candidates.fitting(wanted)):
            return None
        others = len(candidates.free) - (beside in candidates.free)
        if not others:
            return "no other node that takes guests has the labels and taints that it needs"
        short = [resource for resource, amount in sorted(wanted.items()) if candidates.most(resource, beside) < amount]
        return f"none of {others} has enough {' and '.join(short or sorted(wanted))} left"

    def _candidates_of(self, pod: Pod) -> _Candidates:
        """The nodes that match its labels and tolerations."""
        selector = {key: value for key, value in pod.spec.node_selector.items() if key != SCHEDULABLE}
        kind = (tuple(sorted(selector.items())), tuple(pod.spec.tolerations))
        found = self._kinds.get(kind)
        if found is None:
            matching = [name for name, node in self._nodes.items() if _matches(node, selector, pod.spec.tolerations)]
            found = self._kinds[kind] = _Candidates({name: self._free[name] for name in matching})
        return found


class _Candidates:
    """Nodes for pods of the same labels and tolerations. What was too large once is remembered, so that a thousand full
    nodes are not searched for each of ten thousand guests."""

    def __init__(self, free: dict[str, Amounts]) -> None:
        self.free = dict(sorted(free.items(), key=lambda item: -item[1].get("memory", 0)))
        resources = {resource for there in free.values() for resource in there}
        amounts = {key: [(there.get(key, 0), name) for name, there in free.items()] for key in resources}
        self._largest = {key: nlargest(2, found) for key, found in amounts.items()}
        self._too_large: list[Amounts] = []

    def most(self, resource: str, beside: str = "") -> int:
        """The largest amount that is free on a node but `beside`."""
        return next((amount for amount, name in self._largest.get(resource, ()) if name != beside), 0)

    def fitting(self, wanted: Amounts) -> list[str]:
        """Two nodes with room; fewer if there are not so many."""
        if any(amount > self.most(resource) for resource, amount in wanted.items()):
            return []
        if any(_has(wanted, known) for known in self._too_large):
            return []
        found = list(islice((name for name, there in self.free.items() if _has(there, wanted)), 2))
        if not found:
            self._too_large = [*(known for known in self._too_large if not _has(known, wanted)), wanted]
        return found


def takes_guests(node: Node) -> bool:
    """Whether the scheduler may place a launcher pod there."""
    ready = condition_of(node.status.conditions, "Ready")
    schedulable = node.metadata.labels.get(SCHEDULABLE) == "true" and not node.spec.unschedulable
    return schedulable and ready is not None and ready.status == "True"


def needs(pod: Pod) -> Amounts:
    """What the scheduler counts for a pod: the sum of its containers, or an init container that needs more."""
    spec = pod.spec
    total: Amounts = {_PODS: 1000}
    for container in spec.containers:
        _add(total, container.resources.requests)
    for container in spec.init_containers:
        if container.restart_policy == "Always":
            _add(total, container.resources.requests)
    for container in spec.init_containers:
        for resource, text in container.resources.requests.items():
            total[resource] = max(total.get(resource, 0), _thousandths(text))
    _add(total, spec.overhead)
    return total


def _add(total: Amounts, requests: Mapping[str, str]) -> None:
    for resource, text in requests.items():
        total[resource] = total.get(resource, 0) + _thousandths(text)


def _has(free: Mapping[str, int], wanted: Mapping[str, int]) -> bool:
    for resource, amount in wanted.items():  # noqa: SIM110 - called ten thousand times, and a generator costs as much
        if free.get(resource, 0) < amount:
            return False
    return True


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
