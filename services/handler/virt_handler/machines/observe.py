"""What is known about one machine: frozen values that plan.py and status.py reason about.

Made by reconcile.py from the reflectors' caches and from what the launcher said (link.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from virt_core.objects.kubevirt import Configuration
from virt_core.vmi.instance import VirtualMachineInstance

from virt_handler.machines.guest_state import GuestState
from virt_handler.network.plan import PodNetwork


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that a decision about one machine rests on."""

    vmi: VirtualMachineInstance
    node: str
    configuration: Configuration
    """What the KubeVirt object says of all guests."""
    guest: GuestState | None = None
    """None: the launcher has not answered yet. That is "unknown" and never a reason to act."""
    network: PodNetwork | None = None
    """None as long as `guest` is."""
    refused: bool = False
    """This very launcher process has refused the machine."""


def pod_on_node(vmi: VirtualMachineInstance, node: str) -> str | None:
    """The UID of the VMI's launcher pod on the node; None if it has none there, or is being deleted."""
    if vmi.metadata.deletion_timestamp is not None:
        return None
    return next((uid for uid, where in sorted(vmi.status.active_pods.items()) if where == node), None)
