"""Decides whether the suite is available: virt-api and its webhooks answer the API server, virt-controller runs, and
each ready node has a virt-handler. Pure; called by status.py and reconciler.py.

Ready pods are not sufficient: a Service, a network and a certificate are between the API server and virt-api. Short
outages during the replacement of a pod do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from virt_core.conventions import components

from virt_operator.change.rollout import pods_of, serving, trouble
from virt_operator.strategy.ref import Ref
from virt_operator.suite.observed import NodeObject, Observed, PodObject

_AT_ONCE = timedelta(0)
# A replaced virt-handler is away for 3 to 5 s. On a cluster of one node no machine starts meanwhile.
_REPLACED = timedelta(seconds=15)
# A node may have to pull the new image first. The other nodes start machines meanwhile.
_PULLED = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Outage:
    """A part of the suite that does not work."""

    what: str
    why: str
    patience: timedelta = _AT_ONCE
    """How long the outage may last before it counts."""

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


def outages(observed: Observed) -> tuple[Outage, ...]:
    """All present outages, including short ones."""
    if observed.suite is None:
        return ()
    namespace = observed.suite.metadata.namespace
    found = [
        _without_replica(observed, Ref("Deployment", namespace, name))
        for name in (components.API, components.CONTROLLER)
    ]
    found += [_unreachable(observed, ref) for ref in sorted(observed.owned) if ref.kind == "APIService"]
    if observed.admission_trouble is not None:
        found.append(Outage("webhooks for VirtualMachineInstances", observed.admission_trouble))
    handler = Ref("DaemonSet", namespace, components.HANDLER)
    everywhere = _without_handler(observed, handler)
    found += [everywhere] if everywhere is not None else _nodes_without_handler(observed, handler)
    return tuple(outage for outage in found if outage is not None)


def since(before: Mapping[str, datetime], present: tuple[Outage, ...], now: datetime) -> dict[str, datetime]:
    """The begin of each present outage. `before` is the previous answer."""
    return {outage.what: before.get(outage.what, now) for outage in present}


def inherited(observed: Observed) -> dict[str, datetime]:
    """What a new leader uses as the first `before`: outages that made the suite unavailable are not new."""
    suite = observed.suite
    if suite is None or not suite.status.observed_deployment_id:
        return {}
    if not any(condition.type == "Available" and condition.status == "False" for condition in suite.status.conditions):
        return {}
    return {outage.what: observed.now - outage.patience for outage in outages(observed)}


def lasting(observed: Observed) -> tuple[Outage, ...]:
    """The outages that last longer than the replacement of a pod."""
    return tuple(outage for outage in outages(observed) if _counts_at(observed, outage) <= observed.now)


def next_outage(observed: Observed) -> datetime | None:
    """When the next outage will count."""
    moments = (_counts_at(observed, outage) for outage in outages(observed))
    return min((moment for moment in moments if moment > observed.now), default=None)


def _counts_at(observed: Observed, outage: Outage) -> datetime:
    return observed.outages_since.get(outage.what, observed.now) + outage.patience


def _without_replica(observed: Observed, ref: Ref) -> Outage | None:
    live = observed.owned.get(ref)
    if live is not None and serving(live):
        return None
    return Outage(str(ref), "no replica is available")


def _unreachable(observed: Observed, ref: Ref) -> Outage | None:
    condition = observed.owned[ref].condition("Available")
    if condition.get("status") != "False":
        return None
    return Outage(str(ref), f"not Available: {condition.get('message') or condition.get('reason')}")


def _without_handler(observed: Observed, ref: Ref) -> Outage | None:
    live = observed.owned.get(ref)
    if live is not None and live.status.get("desiredNumberScheduled", 0) == 0:
        return None  # no node matches its placement
    if observed.nodes and not any(_takes_pods(node) for node in observed.nodes.values()):
        return None  # no node accepts pods
    handlers = pods_of(ref.name, observed.pods)
    if any(pod.ready and _is_on_node_that_takes_pods(observed, pod) for pod in handlers):
        return None
    return Outage(str(ref), "no virt-handler is ready on a node that takes pods", _REPLACED)


def _nodes_without_handler(observed: Observed, ref: Ref) -> list[Outage | None]:
    """An outage per ready node, because in an update the nodes lose their handlers one after another."""
    handlers = [pod for pod in pods_of(ref.name, observed.pods) if pod.node and observed.node_trouble(pod) is None]
    served = {pod.node for pod in handlers if pod.ready}
    found: list[Outage | None] = []
    for node in sorted({pod.node for pod in handlers} - served):
        why = trouble(pod for pod in handlers if pod.node == node)
        found.append(Outage(f"{ref} on node {node}", f"no virt-handler is ready{why}", _PULLED))
    return found


def _takes_pods(node: NodeObject) -> bool:
    return node.trouble is None and not node.spec.unschedulable


def _is_on_node_that_takes_pods(observed: Observed, pod: PodObject) -> bool:
    node = observed.nodes.get(pod.node)
    return node is None or _takes_pods(node)
