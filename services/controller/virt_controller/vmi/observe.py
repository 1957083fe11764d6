"""What the controller sees of one VirtualMachineInstance, frozen. Built by the reconciler from reflector caches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from virt_core.api.kubevirt import Configuration
from virt_core.api.meta import ObjectMeta
from virt_core.api.vmi import VirtualMachineInstance


class PodCondition(msgspec.Struct, frozen=True, rename="camel"):
    """A condition of a pod."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class Waiting(msgspec.Struct, frozen=True, rename="camel"):
    """Why a container does not run yet."""

    reason: str = ""
    message: str = ""


class Terminated(msgspec.Struct, frozen=True, rename="camel"):
    """How a container ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""


class ContainerState(msgspec.Struct, frozen=True, rename="camel"):
    """One of waiting, running, terminated."""

    waiting: Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    """A container of the launcher pod."""

    name: str
    state: ContainerState = ContainerState()


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """Where the pod is."""

    node_name: str = ""


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What the kubelet and the scheduler say of the pod."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: list[PodCondition] = []
    init_container_statuses: list[ContainerStatus] = []
    container_statuses: list[ContainerStatus] = []


class LauncherPod(msgspec.Struct, frozen=True, rename="camel"):
    """A launcher pod as the reflector keeps it."""

    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def condition(self, kind: str) -> PodCondition | None:
        """The condition of that type."""
        return next((condition for condition in self.status.conditions if condition.type == kind), None)

    @property
    def ready(self) -> bool:
        """Whether the kubelet calls the pod ready."""
        condition = self.condition("Ready")
        return condition is not None and condition.status == "True"

    @property
    def ended(self) -> bool:
        """Whether none of the pod's containers will run again."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def rejected(self) -> bool:
        """Whether the kubelet refused the pod before it ran anything, for example while a device plugin restarts."""
        return self.status.phase == "Failed" and not self.status.container_statuses and bool(self.status.reason)


class ClaimSpec(msgspec.Struct, frozen=True, rename="camel"):
    """What was asked for."""

    volume_mode: str = "Filesystem"
    access_modes: list[str] = []
    resources: dict[str, dict[str, Any]] = {}


class ClaimStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What was given."""

    phase: str = ""
    capacity: dict[str, Any] = {}
    access_modes: list[str] = []


class Claim(msgspec.Struct, frozen=True, rename="camel"):
    """A PersistentVolumeClaim, as far as pod and machine depend on it."""

    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()

    @property
    def block(self) -> bool:
        """Whether the volume is a device rather than a file system."""
        return self.spec.volume_mode == "Block"

    def info(self, name: str, filesystem_overhead: str) -> dict[str, Any]:
        """KubeVirt's PersistentVolumeClaimInfo."""
        return {
            "claimName": name,
            "volumeMode": self.spec.volume_mode,
            "accessModes": self.status.access_modes or self.spec.access_modes,
            "capacity": self.status.capacity,
            "requests": self.spec.resources.get("requests", {}),
            "filesystemOverhead": filesystem_overhead,
        }


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that a plan rests on."""

    vmi: VirtualMachineInstance
    pod: LauncherPod | None
    configuration: Configuration
    now: datetime
    claims: Mapping[str, Claim | None] = field(default_factory=dict)
    """By name, those that the spec names, None: there is none. Asked for only while there is no pod."""
