"""The spec of a VirtualMachineInstance as far as this release supports it: every field that is named here, no other.

Read by instance.parse_spec; devices are in devices.py, volumes and networks in volumes.py. What values must be
beyond their types, and what they are if they are not given: rules/check.py. Types of Kubernetes' own that are passed on
to the pod as they are (affinity, tolerations, …) are not looked into: the API server does when the pod is made.
"""

from __future__ import annotations

from typing import Any

from virt_core.validation.strict import Empty, Strict, Switch
from virt_core.vmi.spec.devices import Devices
from virt_core.vmi.spec.volumes import Network, Volume


class CpuFeature(Strict, frozen=True):
    """One feature on top of the model."""

    name: str
    policy: str = "require"


class Cpu(Strict, frozen=True):
    """Topology and model; absent levels count 1, an absent model is the release's choice."""

    sockets: int = 0
    cores: int = 0
    threads: int = 0
    model: str = ""
    features: list[CpuFeature] = []
    dedicated_cpu_placement: bool = False
    isolate_emulator_thread: bool = False


class Hugepages(Strict, frozen=True):
    """Guest memory in huge pages of the node."""

    page_size: str = ""


class Memory(Strict, frozen=True):
    """Guest memory as a quantity."""

    guest: str | int = ""
    hugepages: Hugepages | None = None


class Resources(Strict, frozen=True):
    """Requests and limits of the pod, quantities by resource name."""

    requests: dict[str, str | int | float] = {}
    limits: dict[str, str | int | float] = {}
    overcommit_guest_overhead: bool = False


class KernelBootContainer(Strict, frozen=True):
    """An image with a kernel in it."""

    image: str
    kernel_path: str = ""
    initrd_path: str = ""
    image_pull_policy: str = ""
    image_pull_secret: str = ""


class KernelBoot(Strict, frozen=True):
    """Boot a kernel directly."""

    container: KernelBootContainer | None = None
    kernel_args: str = ""


class Bios(Strict, frozen=True):
    """SeaBIOS."""

    use_serial: bool | None = None


class Efi(Strict, frozen=True):
    """OVMF. KubeVirt's default is secure boot, which is refused: it must be switched off by name."""

    secure_boot: bool | None = None
    persistent: bool | None = None


class Bootloader(Strict, frozen=True):
    """One of the two."""

    bios: Bios | None = None
    efi: Efi | None = None


class Firmware(Strict, frozen=True):
    """Firmware identity, boot loader and direct kernel boot."""

    uuid: str = ""
    serial: str = ""
    bootloader: Bootloader | None = None
    kernel_boot: KernelBoot | None = None


class Chassis(Strict, frozen=True):
    """What the firmware tells of the chassis."""

    manufacturer: str = ""
    version: str = ""
    serial: str = ""
    asset: str = ""
    sku: str = ""


class UtcOffset(Strict, frozen=True):
    """Seconds between UTC and the guest's clock."""

    offset_seconds: int = 0


class Timer(Strict, frozen=True):
    """One timer: present unless it says no."""

    present: bool | None = None
    tick_policy: str = ""
    track: str = ""


class PlainTimer(Strict, frozen=True):
    """A timer without policies."""

    present: bool | None = None


class TickTimer(Strict, frozen=True):
    """A timer with a policy for lost ticks."""

    present: bool | None = None
    tick_policy: str = ""


class Timers(Strict, frozen=True):
    """Timers by name."""

    hpet: TickTimer | None = None
    kvm: PlainTimer | None = None
    pit: TickTimer | None = None
    rtc: Timer | None = None
    hyperv: PlainTimer | None = None


class Clock(Strict, frozen=True):
    """The guest's clock: an offset or a time zone, and its timers."""

    utc: UtcOffset | None = None
    timezone: str = ""
    timer: Timers | None = None


class Apic(Strict, frozen=True):
    """Local interrupt controllers."""

    enabled: bool | None = None
    end_of_interrupt: bool = False


class KvmFeature(Strict, frozen=True):
    """How much KVM shows of itself."""

    hidden: bool = False


class Features(Strict, frozen=True):
    """Switches of the platform."""

    acpi: Switch = Switch()
    apic: Apic | None = None
    kvm: KvmFeature | None = None
    pvspinlock: Switch | None = None
    smm: Switch | None = None


class MachineType(Strict, frozen=True):
    """The machine type, for example "q35"."""

    type: str = ""


class Domain(Strict, frozen=True):
    """The virtual hardware."""

    devices: Devices = Devices()
    cpu: Cpu = Cpu()
    memory: Memory = Memory()
    resources: Resources = Resources()
    firmware: Firmware = Firmware()
    machine: MachineType = MachineType()
    chassis: Chassis | None = None
    clock: Clock | None = None
    features: Features = Features()


class Probe(Strict, frozen=True):
    """How the guest is asked whether it lives or is ready: exactly one way."""

    exec: dict[str, Any] | None = None
    http_get: dict[str, Any] | None = None
    tcp_socket: dict[str, Any] | None = None
    guest_agent_ping: Empty | None = None
    initial_delay_seconds: int = 0
    timeout_seconds: int = 0
    period_seconds: int = 0
    success_threshold: int = 0
    failure_threshold: int = 0


class VmiSpec(Strict, frozen=True):
    """Everything of the spec that this release supports."""

    domain: Domain
    networks: list[Network] = []
    volumes: list[Volume] = []
    node_selector: dict[str, str] = {}
    termination_grace_period_seconds: int = 30
    architecture: str = "amd64"
    hostname: str = ""
    subdomain: str = ""
    tolerations: list[dict[str, Any]] = []
    affinity: dict[str, Any] = {}
    topology_spread_constraints: list[dict[str, Any]] = []
    priority_class_name: str = ""
    scheduler_name: str = ""
    dns_policy: str = ""
    dns_config: dict[str, Any] = {}
    start_strategy: str = ""
    eviction_strategy: str = ""
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
