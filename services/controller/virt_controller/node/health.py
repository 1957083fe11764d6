"""Decides whether a node is in trouble. Pure; called by node/reconcile.py and the VMI's reconciler.

The guests of an unreachable node may still run. Guests are known to be gone only if an administrator deletes the node
or sets the taint out-of-service, or if Kubernetes removes the pod.
"""

from __future__ import annotations

from dataclasses import dataclass

from virt_core.conventions import labels
from virt_core.vmi.status import HANDLER_UNRESPONSIVE, NODE_NOT_READY, NODE_UNREACHABLE

from virt_controller.node.observe import Node

NODE_DELETED = "NodeDeleted"
NODE_OUT_OF_SERVICE = "NodeOutOfService"

# Kubernetes' well-known taints.
_UNREACHABLE = "node.kubernetes.io/unreachable"
_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a node: reason and message for a condition."""

    reason: str
    message: str
    lost: bool = False
    """Whether the guests on it are gone for good."""

    @property
    def deleted(self) -> bool:
        """Whether the node does not exist, as far as the cache knows."""
        return self.reason == NODE_DELETED


def trouble(name: str, node: Node | None, silence: float) -> Trouble | None:
    """What is wrong with the node; None if it is healthy. `node` is None if it does not exist. `silence` is the time in
    seconds since its handler's last heartbeat."""
    if node is None:
        return Trouble(NODE_DELETED, f"node {name} has been deleted", lost=True)
    ready = node.ready
    unreachable = node.tainted(_UNREACHABLE) or (ready is not None and ready.status == "Unknown")
    if unreachable or (ready is not None and ready.status == "False"):
        if node.tainted(_OUT_OF_SERVICE):
            return Trouble(NODE_OUT_OF_SERVICE, f"node {name} is out of service: tainted {_OUT_OF_SERVICE}", lost=True)
        detail = f": {ready.message}" if ready is not None and ready.status != "True" and ready.message else ""
        if unreachable:
            return Trouble(NODE_UNREACHABLE, f"node {name} is unreachable{detail}")
        return Trouble(NODE_NOT_READY, f"node {name} is not ready{detail}")
    if silence > labels.HEARTBEAT_SECONDS:
        since = node.metadata.annotations.get(labels.HEARTBEAT, "")
        return Trouble(HANDLER_UNRESPONSIVE, f"virt-handler on node {name} has not been heard of since {since}")
    return None
