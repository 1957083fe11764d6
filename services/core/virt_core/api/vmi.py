"""VirtualMachineInstance as far as this release supports it.

Two readings of one object: `VirtualMachineInstance` keeps the spec raw, so that a reflector can hold any object that
the API server stored; `parse_spec` reads the spec strictly and refuses, by name, each field of KubeVirt's that is not
supported yet. Called by the controller (before a pod is made) and the handler (before a Machine is made).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from virt_core.api.meta import Condition, ObjectMeta, ObjectReference


class VmiPhase(StrEnum):
    """KubeVirt's phases; this release writes those up to FAILED."""

    UNSET = ""
    PENDING = "Pending"
    SCHEDULING = "Scheduling"
    SCHEDULED = "Scheduled"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    WAITING_FOR_SYNC = "WaitingForSync"
    UNKNOWN = "Unknown"

    @property
    def final(self) -> bool:
        """Whether nothing happens to the guest any more."""
        return self in (VmiPhase.SUCCEEDED, VmiPhase.FAILED)


class VmiStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The part of the status that decisions rest on."""

    phase: VmiPhase = VmiPhase.UNSET
    active_pods: dict[str, str] = {}
    node_name: str = ""
    conditions: list[Condition] = []
    phase_transition_timestamps: list[dict[str, str]] = []


class VirtualMachineInstance(msgspec.Struct, frozen=True, rename="camel"):
    """What reflectors keep.

    `raw_status` is the status as stored, with fields of other writers and releases: patches are guarded by it.
    """

    metadata: ObjectMeta
    spec: msgspec.Raw = msgspec.Raw(b"{}")
    raw_status: dict[str, Any] = msgspec.field(default_factory=dict, name="status")

    @property
    def status(self) -> VmiStatus:
        """The part of the status that decisions rest on."""
        return msgspec.convert(self.raw_status, VmiStatus)

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return (self.metadata.namespace, self.metadata.name)

    @property
    def reference(self) -> ObjectReference:
        """For events."""
        meta = self.metadata
        return ObjectReference("kubevirt.io/v1", "VirtualMachineInstance", meta.name, meta.namespace, meta.uid)


class _Strict(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A part of the spec of which every supported field is named here, and no other is accepted."""


class Cpu(_Strict, frozen=True):
    """Topology; absent levels count 1."""

    sockets: int = 1
    cores: int = 1
    threads: int = 1


class Memory(_Strict, frozen=True):
    """Guest memory as a quantity."""

    guest: str | int = ""


class Resources(_Strict, frozen=True):
    """Requests and limits of the pod, quantities by resource name."""

    requests: dict[str, str | int] = {}
    limits: dict[str, str | int] = {}


class KernelBootContainer(_Strict, frozen=True):
    """An image with a kernel in it."""

    image: str
    kernel_path: str = ""
    initrd_path: str = ""
    image_pull_policy: str = ""
    image_pull_secret: str = ""


class KernelBoot(_Strict, frozen=True):
    """Boot a kernel directly."""

    container: KernelBootContainer
    kernel_args: str = ""


class Firmware(_Strict, frozen=True):
    """Firmware identity and direct kernel boot."""

    uuid: str = ""
    kernel_boot: KernelBoot | None = None


class Masquerade(_Strict, frozen=True):
    """The guest behind the pod's address."""


class Interface(_Strict, frozen=True):
    """One network card."""

    name: str
    masquerade: Masquerade | None = None
    model: str = "virtio"
    mac_address: str = ""


class Devices(_Strict, frozen=True):
    """Devices."""

    interfaces: list[Interface] = []
    autoattach_pod_interface: bool = True
    autoattach_serial_console: bool = True
    # No graphics card is attached yet, so only a manifest that says so is honoured in full.
    autoattach_graphics_device: bool | None = None


class MachineType(_Strict, frozen=True):
    """The machine type, for example "q35"."""

    type: str = "q35"


class Domain(_Strict, frozen=True):
    """The virtual hardware."""

    devices: Devices = Devices()
    cpu: Cpu = Cpu()
    memory: Memory = Memory()
    resources: Resources = Resources()
    firmware: Firmware = Firmware()
    machine: MachineType = MachineType()


class PodNetwork(_Strict, frozen=True):
    """The pod's own network."""


class Network(_Strict, frozen=True):
    """Where an interface of the same name is plugged in."""

    name: str
    pod: PodNetwork | None = None


class VmiSpec(_Strict, frozen=True):
    """Everything of the spec that this release supports."""

    domain: Domain
    networks: list[Network] = []
    node_selector: dict[str, str] = {}
    termination_grace_period_seconds: int = 30
    architecture: str = "amd64"
    hostname: str = ""
    tolerations: list[dict[str, Any]] = []
    affinity: dict[str, Any] = {}
    priority_class_name: str = ""
    scheduler_name: str = ""


_spec_decoder = msgspec.json.Decoder(VmiSpec)


class UnsupportedSpec(ValueError):
    """The spec asks for something that is invalid or not supported; the message names the path. Tell the user."""


def parse_spec(raw: msgspec.Raw) -> VmiSpec:
    """The spec, strictly.

    Raises:
        UnsupportedSpec: naming the first field that is unknown, not supported or of the wrong type.
    """
    try:
        return _spec_decoder.decode(raw)
    except msgspec.ValidationError as error:
        message = str(error).replace("Object contains unknown field", "unsupported field").replace("`$", "`spec")
        raise UnsupportedSpec(message) from error
