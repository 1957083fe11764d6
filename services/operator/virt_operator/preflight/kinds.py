"""Kubernetes' and the suite's objects, decoded as far as the plan needs them. Pure; read by read.py.

`gc=False`: values without cycles, so that the garbage collector does not walk over those of ten thousand guests.
"""

from __future__ import annotations

from typing import Any

import msgspec
from virt_core.objects.meta import Condition, ObjectMeta

from virt_operator.suite.observed import NodeCondition


class CpuFeature(msgspec.Struct, frozen=True, gc=False):
    """A feature that is required, forbidden or otherwise named."""

    name: str


class Cpu(msgspec.Struct, frozen=True, gc=False):
    """The CPU that a guest requests."""

    model: str = ""
    features: list[CpuFeature] = []


class MachineType(msgspec.Struct, frozen=True, gc=False):
    """A machine type."""

    type: str = ""


class Domain(msgspec.Struct, frozen=True, gc=False):
    """The hardware of a guest, as far as QEMU's release decides whether there is such."""

    cpu: Cpu = Cpu()
    machine: MachineType = MachineType()


class GuestSpec(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The spec of a VirtualMachineInstance."""

    domain: Domain = Domain()
    eviction_strategy: str | None = None


class ClaimInfo(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A claim as its volume's status describes it."""

    claim_name: str = ""
    access_modes: list[str] = []


class VolumeStatus(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A volume of a guest."""

    name: str = ""
    persistent_volume_claim_info: ClaimInfo | None = None


class GuestStatus(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """What is reported of a guest."""

    phase: str = ""
    node_name: str = ""
    machine: MachineType = MachineType()
    launcher_container_image_version: str = ""
    conditions: list[Condition] = []
    volume_status: list[VolumeStatus] = []


class Guest(msgspec.Struct, frozen=True):
    """A VirtualMachineInstance."""

    metadata: ObjectMeta
    spec: GuestSpec = GuestSpec()
    status: GuestStatus = GuestStatus()

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.metadata.namespace, self.metadata.name


class Template(msgspec.Struct, frozen=True, gc=False):
    """The template of a VirtualMachine."""

    metadata: dict[str, Any] | None = None
    spec: GuestSpec = GuestSpec()


class MachineSpec(msgspec.Struct, frozen=True, gc=False):
    """The spec of a VirtualMachine."""

    template: Template = Template()


class Machine(msgspec.Struct, frozen=True):
    """A VirtualMachine."""

    metadata: ObjectMeta
    spec: MachineSpec = MachineSpec()


class Requests(msgspec.Struct, frozen=True, gc=False):
    """The resources of a container."""

    requests: dict[str, str] = {}


class Container(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A container of a pod."""

    resources: Requests = Requests()
    restart_policy: str = ""


class Toleration(msgspec.Struct, frozen=True, gc=False):
    """A toleration of a pod."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""


class PodSpec(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """What a pod needs of a node."""

    node_name: str = ""
    node_selector: dict[str, str] = {}
    tolerations: list[Toleration] = []
    containers: list[Container] = []
    init_containers: list[Container] = []
    overhead: dict[str, str] = {}


class PodStatus(msgspec.Struct, frozen=True, gc=False):
    """Whether it still needs it."""

    phase: str = ""


class Pod(msgspec.Struct, frozen=True):
    """Any pod of the cluster."""

    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class Taint(msgspec.Struct, frozen=True, gc=False):
    """A taint of a node."""

    key: str
    effect: str
    value: str = ""


class NodeSpec(msgspec.Struct, frozen=True, gc=False):
    """What administrators say of a node."""

    unschedulable: bool = False
    taints: list[Taint] = []


class NodeStatus(msgspec.Struct, frozen=True):
    """What its kubelet says."""

    conditions: list[NodeCondition] = []
    allocatable: dict[str, str] = {}


class Node(msgspec.Struct, frozen=True):
    """A node."""

    metadata: ObjectMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class StoredObject(msgspec.Struct, frozen=True):
    """An object of a kind of the suite's, undecoded."""

    metadata: ObjectMeta
    spec: msgspec.Raw = msgspec.Raw()
