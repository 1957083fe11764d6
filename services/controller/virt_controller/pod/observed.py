"""The fields of a launcher pod and its claims that the controller uses. Pure; decoded by caches and
reconcilers.

There is a pod for each guest of the cluster, so its parts are small: the garbage collector does not follow those that
hold texts only, and pods of the same image share its name.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec
from virt_core.conventions import labels
from virt_core.conventions.launcher_pod import COMPUTE, guest_needs
from virt_core.objects.meta import ObjectMeta, condition_of

_NOT_STARTED = "StartError"  # containerd's reason


class PodCondition(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A condition of a pod."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class Waiting(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Why a container does not run yet."""

    reason: str = ""
    message: str = ""


class Running(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """That it runs."""

    started_at: str | None = None
    """RFC 3339, by its node's clock."""


class Terminated(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """How a container ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""

    @property
    def summary(self) -> str:
        """The termination message, or the reason if there is none."""
        return self.message.strip() or self.reason


class ContainerState(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One of waiting, running, terminated."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A container of the launcher pod."""

    name: str
    image: str = ""
    image_id: str = msgspec.field(default="", name="imageID")
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "image", sys.intern(self.image))
        msgspec.structs.force_setattr(self, "image_id", sys.intern(self.image_id))


class PodSpec(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The pod's node, and who chooses it."""

    node_name: str = ""
    scheduler_name: str = ""
    termination_grace_period_seconds: int | None = None


class PodStatus(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The pod's status, written by kubelet and scheduler."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    qos_class: str = ""
    conditions: list[PodCondition] = []
    init_container_statuses: list[ContainerStatus] = []
    container_statuses: list[ContainerStatus] = []


class LauncherPod(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A launcher pod in the reflector's cache."""

    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def condition(self, kind: str) -> PodCondition | None:
        """The condition of that type."""
        return condition_of(self.status.conditions, kind)

    @property
    def containers(self) -> tuple[ContainerStatus, ...]:
        """All containers, in the order in which they start."""
        return (*self.status.init_container_statuses, *self.status.container_statuses)

    @property
    def begun(self) -> bool:
        """Whether any container has been started. Then volumes are mounted and the network is ready."""
        return any(
            container.state.running is not None or container.state.terminated is not None
            for container in self.containers
        )

    @property
    def unreported(self) -> bool:
        """Whether the kubelet has not yet reported a container that the guest waits for, with its image's digest: a
        guest may run before that."""
        needed = [found for found in self.status.container_statuses if guest_needs(found.name)]
        return self.status.phase == "Pending" and (not needed or not all(found.image_id for found in needed))

    @property
    def terminating(self) -> bool:
        """Whether the pod is deleted, or Kubernetes is about to end it: eviction, preemption, pressure on the node."""
        disrupted = self.condition("DisruptionTarget")
        return self.metadata.deletion_timestamp is not None or (disrupted is not None and disrupted.status == "True")

    @property
    def ready(self) -> bool:
        """Whether the pod is ready."""
        condition = self.condition("Ready")
        return condition is not None and condition.status == "True"

    @property
    def ended(self) -> bool:
        """Whether none of the pod's containers will run again."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def rejected(self) -> bool:
        """Whether the kubelet refused the pod before it ran anything, for example while a device plugin restarts; or
        could not start a container that the guest waits for, because the launcher's image was not there in time."""
        if self.status.phase == "Failed" and not self.status.container_statuses and self.status.reason:
            return True
        return any(ended.reason == _NOT_STARTED for ended in self._failed_beside())

    @property
    def broken(self) -> bool:
        """Whether a container that the guest waits for has failed, and its launcher waits. The kubelet does not
        restart it."""
        return any(ended.reason != _NOT_STARTED for ended in self._failed_beside())

    def _failed_beside(self) -> list[Terminated]:
        states = {status.name: status.state for status in self.status.container_statuses}
        if states.pop(COMPUTE, ContainerState()).running is None:
            return []
        ended = [state.terminated for name, state in states.items() if guest_needs(name) and state.terminated]
        return [state for state in ended if state.exit_code]


def belongs_to(pod: ObjectMeta, vmi: ObjectMeta) -> bool:
    """Whether the controller created the pod for the VMI. Anybody may create a pod of the expected name."""
    created_by = pod.labels.get(labels.CREATED_BY)
    return pod.namespace == vmi.namespace and created_by == vmi.uid and vmi.uid == pod.controller_uid


class ClaimSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The claim's spec."""

    volume_mode: str = "Filesystem"
    access_modes: list[str] = []
    resources: dict[str, dict[str, Any]] = {}


class ClaimStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The claim's status."""

    phase: str = ""
    capacity: dict[str, Any] = {}
    access_modes: list[str] = []


class Claim(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of a PersistentVolumeClaim that pod and machine depend on."""

    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()

    @property
    def block(self) -> bool:
        """Whether the volume mode is Block."""
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
