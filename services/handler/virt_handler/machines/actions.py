"""The closed set of a handler's actions for a machine. Pure; planned by plan.py, executed by execute.py."""

from __future__ import annotations

from dataclasses import dataclass

from kubevirt.launcher.v1 import machine_pb2, state_pb2
from virt_core.objects.patch import Operation

from virt_handler.network.plan import NetworkPlan


@dataclass(frozen=True, slots=True)
class PrepareNetwork:
    """Set up the pod's network for the machine. Before StartMachine; repeatable."""

    plan: NetworkPlan


@dataclass(frozen=True, slots=True)
class PrepareDisks:
    """Make devices and images of the machine's claims usable for the launcher. Before StartMachine; repeatable, and
    repeated until each can be used: a guest that never ran is not ended because a volume is full or not its own."""

    disks: tuple[machine_pb2.Disk, ...]


@dataclass(frozen=True, slots=True)
class StartMachine:
    """Send the machine to its launcher. Repeatable: a launcher starts a single machine, once.

    Only for a VMI that has not run yet, whose pod is in activePods on this node, and which is not being deleted.
    """

    machine: machine_pb2.Machine


@dataclass(frozen=True, slots=True)
class PatchStatus:
    """Write the status. The API server refuses the patch if the tested values have changed."""

    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """Record an event about a change of the VMI. After the PatchStatus of that change, so that it is recorded once."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class AcknowledgeEnd:
    """Confirm to the launcher that the end is recorded, so that it exits and its pod completes.

    Only after the final phase is stored in the VMI.
    """

    machine_uid: str
    end: state_pb2.MachineEnd.ValueType
    """The recorded end. The launcher refuses if its machine has not ended in this way."""


Action = PrepareNetwork | PrepareDisks | StartMachine | PatchStatus | RecordEvent | AcknowledgeEnd
