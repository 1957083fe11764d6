"""The frozen observation of a machine. Pure; used by plan.py and status.py.

Built by reconcile.py from the reflectors' caches and the launcher's last report (link.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from virt_core.vmi.accepted import AcceptedSpec, RefusedSpec
from virt_core.vmi.instance import VirtualMachineInstance

from virt_handler.machines.guest_state import GuestState
from virt_handler.machines.sides import Side, side_of
from virt_handler.network.plan import PodNetwork


@dataclass(frozen=True, slots=True)
class LauncherRefusal:
    """Why a launcher process refused to start the machine: a condition's reason and message."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Observed:
    """The complete input of a plan."""

    vmi: VirtualMachineInstance
    node: str
    spec: AcceptedSpec | RefusedSpec
    configured: bool = True
    """Whether the cluster's configuration is known. No machine starts without it."""
    machine_types: Mapping[str, str] = field(default_factory=dict)
    """What aliases of machine types stand for, where the launcher's QEMU shall not decide."""
    guest: GuestState | None = None
    """None: unknown, because the launcher has not reported yet. Never a reason to act."""
    network: PodNetwork | None = None
    """None while the launcher is not connected."""
    launcher_migrates: bool = True
    """Whether the connected launcher can be a side of a migration."""
    refusal: LauncherRefusal | None = None
    """The refusal of the connected launcher process. The start is not repeated."""
    claim_users: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Other VMIs of this node by the PersistentVolumeClaims of this VMI that they use, if a disk of it failed."""


def pods_on_node(vmi: VirtualMachineInstance, node: str) -> tuple[str, ...]:
    """UIDs of the VMI's launcher pods on the node."""
    return tuple(sorted(uid for uid, place in vmi.status.active_pods.items() if place == node))


def counting_pod(vmi: VirtualMachineInstance, node: str) -> str | None:
    """The pod whose launcher the VMI's status describes; None if it is not on this node.

    During a migration a VMI has two pods: the guest is on status.nodeName, in the source's pod until the migration
    succeeds. If there are two pods that are no sides of a migration, neither is used.
    """
    if vmi.status.node_name not in ("", node):
        return None
    pods = [uid for uid in pods_on_node(vmi, node) if side_of(vmi, uid) in (Side.NONE, Side.SOURCE)]
    return pods[0] if len(pods) == 1 else None
