"""A node as far as guests depend on it. Decoded by the reflector, which so keeps a few hundred bytes of each."""

from __future__ import annotations

import msgspec
from virt_core.objects.meta import ObjectMeta


class Taint(msgspec.Struct, frozen=True):
    """Why pods should not be there."""

    key: str


class NodeCondition(msgspec.Struct, frozen=True):
    """A condition of a node."""

    type: str
    status: str
    message: str = ""


class NodeSpec(msgspec.Struct, frozen=True):
    """What the node lifecycle controller and administrators say."""

    taints: list[Taint] = []


class NodeStatus(msgspec.Struct, frozen=True):
    """What the kubelet says, or is said of it once it is silent."""

    conditions: list[NodeCondition] = []


class Node(msgspec.Struct, frozen=True):
    """A node of the cluster."""

    metadata: ObjectMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def ready(self) -> NodeCondition | None:
        """Its condition Ready; None: nobody has said yet."""
        return next((condition for condition in self.status.conditions if condition.type == "Ready"), None)

    def tainted(self, key: str) -> bool:
        """Whether it has a taint of that key."""
        return any(taint.key == key for taint in self.spec.taints)
