"""What happens on each node, and what stands in the way there. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from virt_core.conventions.labels import HEARTBEAT, HEARTBEAT_SECONDS, SCHEDULABLE
from virt_core.objects.meta import condition_of, seconds_since

from virt_operator.preflight import estimates
from virt_operator.preflight.finding import Finding, Step, Subject, blocking, info
from virt_operator.preflight.kinds import Node
from virt_operator.preflight.observed import Cluster
from virt_operator.suite.observed import PodObject

_FINAL = ("Succeeded", "Failed")


def judge_nodes(cluster: Cluster) -> Iterator[Finding]:
    """A finding for each node that has a virt-handler, or should have one."""
    handlers = {pod.node: pod for pod in cluster.handlers if pod.metadata.deletion_timestamp is None}
    guests: dict[str, int] = {}
    for guest in cluster.guests:
        if guest.status.phase not in _FINAL:
            guests[guest.status.node_name] = guests.get(guest.status.node_name, 0) + 1
    for node in cluster.nodes:
        found = _node(node, handlers, guests.get(node.metadata.name, 0), cluster)
        if found is not None:
            yield found


def _node(node: Node, handlers: Mapping[str, PodObject], guests: int, cluster: Cluster) -> Finding | None:
    name = node.metadata.name
    subject, handler = Subject("Node", "", name), handlers.get(name)
    is_ours = handler is not None or guests > 0 or SCHEDULABLE in node.metadata.labels
    if not is_ours:
        return None
    running = f", with {guests} guests" if guests else ""
    trouble = _not_ready(node)
    if trouble is not None:
        return blocking(
            subject,
            "NodeNotReady",
            f"is not ready{trouble}{running}: its virt-handler cannot be replaced, so that the change does not reach "
            "it; bring it back, or delete the node",
        )
    if handler is None:
        return blocking(subject, "HandlerMissing", f"has no virt-handler{running}: see `virtadm doctor`")
    if not handler.ready:
        return blocking(
            subject, "HandlerNotReady", f"Pod {handler.metadata.name} is not ready{running}: see `virtadm doctor`"
        )
    silent = seconds_since(node.metadata.annotations.get(HEARTBEAT), cluster.now)
    if silent > HEARTBEAT_SECONDS:
        message = f"Pod {handler.metadata.name} has written no heartbeat for {silent:.0f} s{running}"
        return blocking(subject, "HandlerSilent", message)
    message = f"{guests} guests run on; new ones wait for {estimates.WITHOUT_HANDLER:.0f} s"
    return info(subject, "HandlerReplaced", message, Step("replace virt-handler", estimates.HANDLER))


def _not_ready(node: Node) -> str | None:
    """What the kubelet, or Kubernetes for it, says; None if the node is ready."""
    ready = condition_of(node.status.conditions, "Ready")
    if ready is not None and ready.status == "True":
        return None
    return f" ({ready.message})" if ready is not None and ready.message else ""
