"""The VirtualMachineInstance `demo`: its identity, and the machine of it."""

from __future__ import annotations

from collections.abc import Callable

from kubevirt.launcher.v1 import machine_pb2
from virt_core.objects.kubevirt import Configuration
from virt_core.vmi.accepted import accept
from virt_core.vmi.instance import VirtualMachineInstance
from virt_handler.machines.translate.machine import machine
from virt_handler.network.plan import PodNetwork

VMI_UID = "5f0c1e9e-6a50-4a34-8c6b-0d6f2b1c0a11"
POD_UID = "0b8f3c52-1f7e-4f0a-9d43-7a1f5f2f9c00"
NODE = "node1"


def translated(vmi: VirtualMachineInstance, configuration: Configuration, pod: PodNetwork) -> machine_pb2.Machine:
    """The machine of the VMI, if its spec is accepted."""
    return machine(vmi, accept(vmi.raw_spec, configuration), pod)


MakeVmi = Callable[..., VirtualMachineInstance]
