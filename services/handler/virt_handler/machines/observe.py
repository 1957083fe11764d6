"""What is known about one machine: frozen values that plan.py and status.py reason about.

Made by reconcile.py from the reflectors' caches and from what the launcher reported (link.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from virt_core.vmi.accepted import AcceptedSpec, RefusedSpec
from virt_core.vmi.instance import VirtualMachineInstance

from virt_handler.machines.guest_state import GuestState
from virt_handler.network.plan import PodNetwork


@dataclass(frozen=True, slots=True)
class LauncherRefusal:
    """Why a launcher process refused to start the machine: a condition's reason and message."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that a decision about one machine rests on."""

    vmi: VirtualMachineInstance
    node: str
    spec: AcceptedSpec | RefusedSpec
    configured: bool = True
    """Whether the cluster's configuration is known; nothing is started without."""
    guest: GuestState | None = None
    """None: the launcher has not answered yet. That is "unknown" and never a reason to act."""
    network: PodNetwork | None = None
    """None while the launcher is not connected."""
    refusal: LauncherRefusal | None = None
    """Of the launcher process that is connected; it is not asked again."""


def pods_on_node(vmi: VirtualMachineInstance, node: str) -> tuple[str, ...]:
    """UIDs of the VMI's launcher pods on the node."""
    return tuple(sorted(uid for uid, place in vmi.status.active_pods.items() if place == node))


def counting_pod(vmi: VirtualMachineInstance, node: str) -> str | None:
    """The pod whose launcher the VMI's status is about; None if that is not on this node.

    A VMI has two pods while it migrates, on two nodes: status.nodeName is where the guest is. Two pods on one node are
    none of this suite's doing; nothing is concluded from either.
    """
    pods = pods_on_node(vmi, node)
    return pods[0] if len(pods) == 1 and vmi.status.node_name in ("", node) else None
