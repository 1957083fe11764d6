"""The fields of instance types and preferences that this release can run. All other fields are refused. Pure.

Used by apply.py and admission.py. A preference's fields have the types of the VirtualMachineInstance's fields that they
fill (vmi/spec/).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from virt_core.validation.refusal import Refusal, Refusals
from virt_core.validation.strict import Empty, Off, Strict, Switch
from virt_core.validation.unsupported import unsupported
from virt_core.vmi.spec.devices import BlockSize
from virt_core.vmi.spec.domain import Apic, CpuFeature, Efi, Hugepages, KvmFeature, Timers, UtcOffset

Body = Mapping[str, Any]
Quantity = str | int


class CpuInstancetype(Strict, frozen=True):
    """vCPUs and their model."""

    guest: int
    model: str = ""
    dedicated_cpu_placement: bool = msgspec.field(default=False, name="dedicatedCPUPlacement")
    isolate_emulator_thread: bool = False


class MemoryInstancetype(Strict, frozen=True):
    """Guest memory, and by how many percent of it the pod's request is smaller."""

    guest: Quantity
    hugepages: Hugepages | None = None
    overcommit_percent: int = 0


class InstancetypeSpec(Strict, frozen=True):
    """spec of VirtualMachineInstancetype and VirtualMachineClusterInstancetype."""

    cpu: CpuInstancetype
    memory: MemoryInstancetype
    annotations: dict[str, str] | None = None
    node_selector: dict[str, str] | None = None
    scheduler_name: str = ""


class ClockOffset(Strict, frozen=True):
    """An offset or a time zone."""

    utc: UtcOffset | None = None
    timezone: str = ""


class ClockPreferences(Strict, frozen=True):
    """The guest's clock."""

    preferred_clock_offset: ClockOffset | None = None
    preferred_timer: Timers | None = None


class SpreadOptions(Strict, frozen=True):
    """How the topology `spread` distributes vCPUs."""

    across: str = ""
    ratio: int | None = None


class CpuPreferences(Strict, frozen=True):
    """Topology and features."""

    preferred_cpu_topology: str = msgspec.field(default="", name="preferredCPUTopology")
    preferred_cpu_features: list[CpuFeature] | None = msgspec.field(default=None, name="preferredCPUFeatures")
    spread_options: SpreadOptions | None = None


class DevicePreferences(Strict, frozen=True):
    """Devices."""

    preferred_autoattach_graphics_device: bool | None = None
    preferred_autoattach_input_device: bool | None = None
    preferred_autoattach_mem_balloon: bool | None = None
    preferred_autoattach_pod_interface: bool | None = None
    preferred_autoattach_serial_console: bool | None = None
    preferred_block_multi_queue: bool | None = None
    preferred_cdrom_bus: str = ""
    preferred_disable_hotplug: bool | None = None
    preferred_disk_block_size: BlockSize | None = None
    preferred_disk_bus: str = ""
    preferred_disk_cache: str = ""
    preferred_disk_dedicated_io_thread: bool | None = None
    preferred_disk_io: str = msgspec.field(default="", name="preferredDiskIO")
    preferred_input_bus: str = ""
    preferred_input_type: str = ""
    preferred_interface_masquerade: Empty | None = None
    preferred_interface_model: str = ""
    preferred_lun_bus: str = ""
    preferred_network_interface_multi_queue: bool | None = None
    preferred_rng: Empty | None = None
    preferred_tpm: Off | None = msgspec.field(default=None, name="preferredTPM")
    preferred_use_virtio_transitional: bool | None = None


class FeaturePreferences(Strict, frozen=True):
    """Switches of the platform."""

    preferred_acpi: Switch | None = None
    preferred_apic: Apic | None = None
    preferred_kvm: KvmFeature | None = None
    preferred_pvspinlock: Switch | None = None
    preferred_smm: Switch | None = None


class FirmwarePreferences(Strict, frozen=True):
    """BIOS or UEFI."""

    preferred_efi: Efi | None = None
    preferred_use_bios: bool | None = None
    preferred_use_bios_serial: bool | None = None
    preferred_use_efi: bool | None = None
    preferred_use_secure_boot: bool | None = None


class MachinePreferences(Strict, frozen=True):
    """The machine type."""

    preferred_machine_type: str = ""


class CpuRequirement(Strict, frozen=True):
    """The least number of vCPUs."""

    guest: int


class MemoryRequirement(Strict, frozen=True):
    """The least guest memory."""

    guest: Quantity


class Requirements(Strict, frozen=True):
    """What the guest needs, whoever provides it."""

    cpu: CpuRequirement | None = None
    memory: MemoryRequirement | None = None
    architecture: str = ""


class PreferenceSpec(Strict, frozen=True):
    """spec of VirtualMachinePreference and VirtualMachineClusterPreference."""

    annotations: dict[str, str] | None = None
    clock: ClockPreferences | None = None
    cpu: CpuPreferences | None = None
    devices: DevicePreferences | None = None
    features: FeaturePreferences | None = None
    firmware: FirmwarePreferences | None = None
    machine: MachinePreferences | None = None
    prefer_spread_socket_to_core_ratio: int = 0
    preferred_architecture: str = ""
    preferred_subdomain: str = ""
    preferred_termination_grace_period_seconds: int | None = None
    requirements: Requirements | None = None


def spec_of(stored: Body) -> Any:
    """The spec of a stored object without nulls and empty lists, which mean that a field is not set."""
    return _without_unset(stored.get("spec") or {})


def unsupported_fields(stored: Body, kind: type[InstancetypeSpec] | type[PreferenceSpec]) -> Refusals:
    """A refusal for each field that this release cannot run or that has a value of a wrong type."""
    try:
        yield from list(unsupported(spec_of(stored), kind))
    except RecursionError:
        yield Refusal("spec", "is nested too deeply")


def _without_unset(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_unset(below) for key, below in value.items() if below is not None and below != []}
    return value
