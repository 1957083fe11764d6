"""The supported fields of a VirtualMachineInstance's spec. All other fields are refused.

Decoded by instance.parse_spec; devices are in devices.py, volumes and networks in volumes.py. Validation beyond types:
rules/check.py. Defaults: effective.py. Types of Kubernetes that are copied to the pod (affinity, tolerations, …) are
not decoded here: the API server validates them when the pod is created.
"""

from __future__ import annotations

from typing import Any

from virt_core.validation.strict import Empty, Strict, Switch
from virt_core.vmi.spec.credentials import AccessCredential
from virt_core.vmi.spec.devices import Devices
from virt_core.vmi.spec.volumes import Network, Volume


class CpuFeature(Strict, frozen=True):
    """A feature that differs from the model's."""

    name: str
    policy: str = "require"


class Cpu(Strict, frozen=True):
    """Topology and model. Absent levels are 1; without a model the release chooses one."""

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
    """OVMF. KubeVirt's default is secure boot, which is not supported: `secureBoot: false` is required."""

    secure_boot: bool | None = None
    persistent: bool | None = None


class Bootloader(Strict, frozen=True):
    """BIOS or UEFI."""

    bios: Bios | None = None
    efi: Efi | None = None


class Firmware(Strict, frozen=True):
    """Firmware identity, boot loader and direct kernel boot."""

    uuid: str = ""
    serial: str = ""
    bootloader: Bootloader | None = None
    kernel_boot: KernelBoot | None = None


class Chassis(Strict, frozen=True):
    """SMBIOS fields of the chassis."""

    manufacturer: str = ""
    version: str = ""
    serial: str = ""
    asset: str = ""
    sku: str = ""


class UtcOffset(Strict, frozen=True):
    """Seconds between UTC and the guest's clock."""

    offset_seconds: int = 0


class Timer(Strict, frozen=True):
    """A timer: present unless `present` is false."""

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
    """Visibility of KVM to the guest."""

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
    """A liveness or readiness probe with exactly one handler."""

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
    """The supported spec."""

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
    access_credentials: list[AccessCredential] = []
