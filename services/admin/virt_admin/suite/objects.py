"""The fields of Kubernetes' objects that virtadm reads. Pure; decoded by lists and watches.

Names and meanings are Kubernetes'. What a field of another type would break is decoded as an object that is not there.
"""

from __future__ import annotations

from typing import Any

import msgspec
from virt_core.conventions import labels
from virt_core.conventions.component_pod import TEMPLATE_HASH
from virt_core.objects.meta import Condition, ObjectMeta, condition_of
from virt_core.vmi.instance import VmiStatus


class State(msgspec.Struct, frozen=True, rename="camel"):
    """Why a container waits, or how it ended."""

    reason: str = ""
    message: str = ""
    exit_code: int | None = None


class ContainerState(msgspec.Struct, frozen=True, rename="camel"):
    """At most one of waiting and terminated; neither: it runs."""

    waiting: State | None = None
    running: dict[str, Any] | None = None
    terminated: State | None = None


class ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    """A container, as the kubelet sees it."""

    name: str
    image: str = ""
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class Container(msgspec.Struct, frozen=True, rename="camel"):
    """A container, as it is wanted."""

    name: str
    image: str = ""
    resources: dict[str, Any] = {}


class Toleration(msgspec.Struct, frozen=True, rename="camel"):
    """Taints that do not keep the pod away."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The pod's node and containers."""

    node_name: str = ""
    node_selector: dict[str, str] = {}
    tolerations: list[Toleration] = []
    containers: list[Container] = []


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What scheduler and kubelet say."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: list[Condition] = []
    init_container_statuses: list[ContainerStatus] = []
    container_statuses: list[ContainerStatus] = []


class Pod(msgspec.Struct, frozen=True, rename="camel"):
    """A pod of the suite, or a launcher pod."""

    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def name(self) -> str:
        """For messages: namespace and name."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def component(self) -> str:
        """For example "virt-handler"; "" if it is no pod of the suite."""
        return self.metadata.labels.get(labels.APP, "")

    @property
    def template_hash(self) -> str:
        """Of the template that it is made from."""
        return self.metadata.annotations.get(TEMPLATE_HASH, "")

    @property
    def ready(self) -> bool:
        """Whether the kubelet calls it ready."""
        condition = condition_of(self.status.conditions, "Ready")
        return condition is not None and condition.status == "True"

    @property
    def ended(self) -> bool:
        """Whether none of its containers will run again."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def tag(self) -> str:
        """The tag of its first container's image."""
        image = self.spec.containers[0].image if self.spec.containers else ""
        return image.rpartition("/")[2].partition(":")[2].partition("@")[0]


class Template(msgspec.Struct, frozen=True, rename="camel"):
    """The template of a workload's pods."""

    metadata: dict[str, Any] = {}


class WorkloadSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The spec of a Deployment or a DaemonSet."""

    replicas: int = 1
    template: Template = Template()


class WorkloadStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The status of either."""

    desired_number_scheduled: int = 0


class Workload(msgspec.Struct, frozen=True, rename="camel"):
    """A Deployment or a DaemonSet of the suite."""

    metadata: ObjectMeta
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()

    @property
    def template_hash(self) -> str:
        """Of its current template."""
        return str((self.spec.template.metadata.get("annotations") or {}).get(TEMPLATE_HASH, ""))


class Taint(msgspec.Struct, frozen=True, rename="camel"):
    """Keeps pods away."""

    key: str
    effect: str = ""
    value: str = ""


class NodeSpec(msgspec.Struct, frozen=True, rename="camel"):
    """What administrators and Kubernetes' controllers say."""

    unschedulable: bool = False
    taints: list[Taint] = []


class NodeStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What the kubelet says."""

    conditions: list[Condition] = []
    allocatable: dict[str, str] = {}


class Node(msgspec.Struct, frozen=True, rename="camel"):
    """A node of the cluster."""

    metadata: ObjectMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def ready(self) -> Condition | None:
        """The condition Ready."""
        return condition_of(self.status.conditions, "Ready")

    @property
    def is_ready(self) -> bool:
        """Whether its kubelet says that it is."""
        ready = self.ready
        return ready is not None and ready.status == "True"

    def devices(self, resource: str) -> int:
        """How many of a device the node offers."""
        text = self.status.allocatable.get(resource, "")
        return int(text) if text.isdecimal() else 0


class Guest(msgspec.Struct, frozen=True, rename="camel"):
    """A VirtualMachineInstance without its spec."""

    metadata: ObjectMeta
    status: VmiStatus = VmiStatus()


class LeaseSpec(msgspec.Struct, frozen=True, rename="camel"):
    """Who leads, and since when nobody has confirmed it."""

    holder_identity: str | None = None
    renew_time: str | None = None


class LeaseObject(msgspec.Struct, frozen=True, rename="camel"):
    """A Lease."""

    metadata: ObjectMeta
    spec: LeaseSpec = LeaseSpec()
