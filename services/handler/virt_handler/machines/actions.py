"""The closed set of what a handler does about a machine. Planned by plan.py, done by execute.py, one effect each."""

from __future__ import annotations

from dataclasses import dataclass

from kubevirt.launcher.v1 import machine_pb2, state_pb2
from virt_core.objects.patch import Operation

from virt_handler.network.plan import NetworkPlan


@dataclass(frozen=True, slots=True)
class PrepareNetwork:
    """Make the pod's network what the machine needs. Before StartMachine; repeatable."""

    plan: NetworkPlan


@dataclass(frozen=True, slots=True)
class PrepareDisks:
    """Make devices and images of the machine's claims usable for the launcher. Before StartMachine; repeatable."""

    disks: tuple[machine_pb2.Disk, ...]


@dataclass(frozen=True, slots=True)
class StartMachine:
    """Hand the machine to its launcher. Repeatable: a launcher starts one machine, once.

    Legal only for a VMI that has not run yet, whose pod is in activePods on this node, and which is not being deleted.
    """

    machine: machine_pb2.Machine


@dataclass(frozen=True, slots=True)
class PatchStatus:
    """Write the status; refused by the API server if what it rests on has changed."""

    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """Show a change of the VMI to people. After the PatchStatus that makes it, so that it is recorded once."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class AcknowledgeEnd:
    """Confirm to the launcher that the end is recorded, so that it exits and its pod completes.

    Legal only after the final phase is stored in the VMI.
    """

    machine_uid: str
    end: state_pb2.MachineEnd.ValueType
    """The end that is stored: the launcher refuses if its machine has not ended so."""


Action = PrepareNetwork | PrepareDisks | StartMachine | PatchStatus | RecordEvent | AcknowledgeEnd
