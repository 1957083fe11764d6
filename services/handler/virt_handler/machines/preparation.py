"""What a pod needs before its launcher gets a machine. Pure.

Called by plan.py for a start, and by migration/target.py for a guest that arrives.
"""

from __future__ import annotations

from kubevirt.launcher.v1 import machine_pb2
from virt_core.vmi.accepted import AcceptedSpec

from virt_handler.machines.actions import PrepareDisks
from virt_handler.machines.translate.machine import has_queues
from virt_handler.network.plan import NetworkPlan, PodNetwork, network_plan
from virt_handler.network.rules import DepartedGuest, IncomingMigration


def planned_network(
    spec: AcceptedSpec, pod: PodNetwork, moving: IncomingMigration | DepartedGuest | None = None
) -> NetworkPlan | None:
    """The network of the pod; None without an interface."""
    queues = any(has_queues(spec, interface) for interface in spec.interfaces)
    return network_plan(pod, spec, queues=queues, moving=moving)


def disk_preparation(wanted: machine_pb2.Machine) -> tuple[PrepareDisks, ...]:
    """The preparation of disks that only the handler can make usable."""
    needed = any(disk.HasField("block_device") or disk.HasField("image_file") for disk in wanted.disks)
    return (PrepareDisks(tuple(wanted.disks)),) if needed else ()
