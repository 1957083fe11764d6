"""The fields of a Node that matter for guests. The reflector decodes only these, a few hundred bytes per node.
Pure."""

from __future__ import annotations

import msgspec
from virt_core.objects.meta import ObjectMeta, condition_of


class Taint(msgspec.Struct, frozen=True):
    """A taint of a node."""

    key: str
    effect: str = ""


class NodeCondition(msgspec.Struct, frozen=True):
    """A condition of a node."""

    type: str
    status: str
    message: str = ""


class NodeSpec(msgspec.Struct, frozen=True):
    """Fields that the node lifecycle controller and administrators set."""

    taints: list[Taint] = []
    unschedulable: bool = False
    """Whether it is cordoned."""


class NodeStatus(msgspec.Struct, frozen=True):
    """Fields that the kubelet sets, or the node lifecycle controller once the kubelet is silent."""

    conditions: list[NodeCondition] = []


class Node(msgspec.Struct, frozen=True):
    """A node of the cluster."""

    metadata: ObjectMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def ready(self) -> NodeCondition | None:
        """The condition Ready; None if it is not set yet."""
        return condition_of(self.status.conditions, "Ready")

    def tainted(self, key: str) -> bool:
        """Whether it has a taint of that key."""
        return any(taint.key == key for taint in self.spec.taints)

    def drained_by(self, key: str) -> bool:
        """Whether the taint of that key says that guests are to leave, KubeVirt's way before `kubectl drain`."""
        return Taint(key, "NoSchedule") in self.spec.taints

    def empties(self, key: str) -> bool:
        """Whether guests that leave it do not come back: it is cordoned, or the taint of that key drains it."""
        return self.spec.unschedulable or self.drained_by(key)
