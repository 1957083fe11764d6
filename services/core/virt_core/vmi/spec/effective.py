"""Effective values of a VirtualMachineInstance's spec: defaults for absent fields. Pure.

Called by vmi/accepted.py and by the rules. Defaults are KubeVirt's, except that a VMI without networks gets masquerade
on the pod network. vmi/defaults.py stores the same defaults; an object that was stored without them behaves the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from math import ceil

from msgspec.structs import replace

from virt_core.objects.quantity import parse_bytes, parse_quantity
from virt_core.validation.refusal import UnsupportedSpec, refused
from virt_core.vmi.spec.devices import Disk, DiskTarget, Input, Interface
from virt_core.vmi.spec.domain import VmiSpec
from virt_core.vmi.spec.volumes import (
    CloudInit,
    Masquerade,
    Network,
    PersistentVolumeClaim,
    PodNetwork,
    Volume,
)

MI = 1 << 20
_MIN_MEMORY = 2 * MI  # of SeaBIOS 1.16: with 1 MiB it reads no disk
_LONGEST_LABEL = 63  # RFC 1123
MAX_BYTES = 1 << 60  # 1 EiB: more than any machine has, and no calculation overflows
DEFAULT_INTERFACE = "default"
DEFAULT_MACHINE_TYPE = "q35"
DEFAULT_NETWORK_CIDR = "10.0.2.0/24"
DEFAULT_VOLUME_LABEL = "cfgdata"
"""Default volume label of disks made from ConfigMaps, Secrets and similar, as in KubeVirt."""


@dataclass(frozen=True, slots=True)
class Topology:
    """Number of sockets, cores and threads, each at least 1."""

    sockets: int
    cores: int
    threads: int

    @property
    def vcpus(self) -> int:
        """The number of virtual CPUs."""
        return self.sockets * self.cores * self.threads


def effective_topology(spec: VmiSpec) -> Topology:
    """The guest's topology.

    If no level is set, the number of sockets is the CPU limit, or else the CPU request, rounded up. If any level is
    set, absent levels are 1. An invalid quantity counts as 1: the rules refuse it.
    """
    cpu = spec.domain.cpu
    if not (cpu.sockets or cpu.cores or cpu.threads):
        resources = spec.domain.resources
        wanted = resources.limits.get("cpu", resources.requests.get("cpu", 1))
        return Topology(max(1, ceil(_quantity(wanted, Decimal(1)))), 1, 1)
    return Topology(cpu.sockets or 1, cpu.cores or 1, cpu.threads or 1)


def guest_hostname(name: str, spec: VmiSpec) -> str:
    """The host name of the guest and of its pod, a DNS label: the spec's, or the VMI's name up to its first dot."""
    return spec.hostname or name.split(".", maxsplit=1)[0][:_LONGEST_LABEL].rstrip("-")


@dataclass(frozen=True, slots=True)
class GuestMemory:
    """The guest's memory, and the field that sets it."""

    field: str
    """The field's path below spec."""

    value: str | int | float
    """The field's value."""

    size: int
    """In bytes."""


def guest_memory(spec: VmiSpec) -> GuestMemory:
    """Guest memory: memory.guest, else the memory request, else the memory limit, else one huge page.

    Raises:
        UnsupportedSpec: none is set, or it is not a quantity of at least 2Mi.
    """
    resources, hugepages = spec.domain.resources, spec.domain.memory.hugepages
    candidates = (
        ("domain.memory.guest", spec.domain.memory.guest),
        ("domain.resources.requests.memory", resources.requests.get("memory", "")),
        ("domain.resources.limits.memory", resources.limits.get("memory", "")),
        ("domain.memory.hugepages.pageSize", hugepages.page_size if hugepages is not None else ""),
    )
    for path, value in candidates:
        if value == "":
            continue
        try:
            size = parse_bytes(str(value))
        except ValueError as error:
            raise UnsupportedSpec(refused(path, value, "a quantity such as 64Mi")) from error
        if not _MIN_MEMORY <= size <= MAX_BYTES:
            raise UnsupportedSpec(refused(path, value, "at least 2Mi and at most 1Ei"))
        return GuestMemory(path, value, size)
    raise UnsupportedSpec(refused("domain.memory.guest", "", "a quantity such as 64Mi"))


def guest_memory_bytes(spec: VmiSpec) -> int:
    """Guest memory in bytes.

    Raises:
        UnsupportedSpec: as guest_memory does.
    """
    return guest_memory(spec).size


def hugepage_bytes(spec: VmiSpec) -> int:
    """The size of a huge page behind guest memory; 0: ordinary pages."""
    hugepages = spec.domain.memory.hugepages
    return parse_bytes(hugepages.page_size) if hugepages is not None else 0


def effective_interfaces(spec: VmiSpec) -> tuple[Interface, ...]:
    """The guest's interfaces, including the default interface."""
    interfaces = spec.domain.devices.interfaces
    if not interfaces and spec.domain.devices.autoattach_pod_interface is not False:
        return (Interface(name=DEFAULT_INTERFACE, masquerade=Masquerade()),)
    return tuple(replace(interface, model=interface.model or "virtio") for interface in interfaces)


def effective_networks(spec: VmiSpec) -> tuple[Network, ...]:
    """The networks of the guest's interfaces, including the default network."""
    if not spec.networks and spec.domain.devices.autoattach_pod_interface is not False:
        interfaces = spec.domain.devices.interfaces
        return (Network(name=interfaces[0].name if interfaces else DEFAULT_INTERFACE, pod=PodNetwork()),)
    return tuple(spec.networks)


def network_cidr(network: Network) -> str:
    """The network between guest and pod behind a masquerade."""
    return (network.pod.vm_network_cidr if network.pod is not None else "") or DEFAULT_NETWORK_CIDR


class DiskKind(StrEnum):
    """The type of a disk in the guest."""

    DISK = "disk"
    CDROM = "cdrom"
    LUN = "lun"


@dataclass(frozen=True, slots=True)
class EffectiveDisk:
    """A disk with its volume. Fields of `disk` without a default (cache, io, serial, …) are used as they are."""

    disk: Disk
    volume: Volume
    kind: DiskKind
    bus: str
    """ "virtio", "sata", "scsi" or "usb"."""

    read_only: bool
    tray_open: bool

    @property
    def name(self) -> str:
        """The name of disk and volume."""
        return self.volume.name


def effective_disks(spec: VmiSpec) -> tuple[EffectiveDisk, ...]:
    """The guest's disks: those in the spec, then one for each volume without a disk.

    A disk whose volume is missing is left out; the rules refuse it.
    """
    volumes = {volume.name: volume for volume in spec.volumes}
    disks = [*spec.domain.devices.disks, *(Disk(name=name) for name in volumes_without_disk(spec))]
    return tuple(_effective_disk(disk, volumes[disk.name]) for disk in disks if disk.name in volumes)


def volumes_without_disk(spec: VmiSpec) -> tuple[str, ...]:
    """Names of the volumes for which the spec has no disk, and which get one by default."""
    named = {disk.name for disk in spec.domain.devices.disks}
    return tuple(dict.fromkeys(volume.name for volume in spec.volumes if volume.name not in named))


def _effective_disk(disk: Disk, volume: Volume) -> EffectiveDisk:
    """SATA is KubeVirt's default bus: every guest supports it. A lun needs SCSI, the only bus that passes commands."""
    read_only = claimed_read_only(volume)
    if disk.cdrom is not None:
        bus = disk.cdrom.bus or "sata"
        return EffectiveDisk(disk, volume, DiskKind.CDROM, bus, True, disk.cdrom.tray == "open")
    if disk.lun is not None:
        return EffectiveDisk(disk, volume, DiskKind.LUN, disk.lun.bus or "scsi", disk.lun.readonly or read_only, False)
    target = disk.disk or DiskTarget()
    bus = target.bus or "sata"
    # SATA disks cannot be read-only; writes to the launcher's own file do no harm.
    read_only = read_only or (_made_of_files(volume) and bus != "sata")
    return EffectiveDisk(disk, volume, DiskKind.DISK, bus, target.readonly or read_only, False)


def own_claim(volume: Volume) -> PersistentVolumeClaim | None:
    """The claim that is the volume's disk. A dataVolume is the claim of its name, with or without CDI."""
    if volume.data_volume is not None:
        return PersistentVolumeClaim(claim_name=volume.data_volume.name)
    return volume.persistent_volume_claim


def claim_of(volume: Volume) -> PersistentVolumeClaim | None:
    """The claim behind the volume: its disk, or what an ephemeral disk begins with."""
    return volume.ephemeral.persistent_volume_claim if volume.ephemeral is not None else own_claim(volume)


def claimed_read_only(volume: Volume) -> bool:
    """Whether the volume is a claim that may only be read."""
    return volume.persistent_volume_claim is not None and volume.persistent_volume_claim.read_only


def _made_of_files(volume: Volume) -> bool:
    """Whether the launcher builds the disk from the files of another object."""
    made = (volume.config_map, volume.secret, volume.service_account, volume.downward_api)
    return any(source is not None for source in made)


def cloud_init(volume: Volume) -> CloudInit | None:
    """The volume's cloud-init data source, of either form; None: it has another source."""
    return volume.cloud_init_no_cloud or volume.cloud_init_config_drive


def empty_disk_bytes(volume: Volume) -> int:
    """An emptyDisk's capacity in whole MiB, rounded up."""
    assert volume.empty_disk is not None
    return -(-parse_bytes(str(volume.empty_disk.capacity)) // MI) * MI


def effective_inputs(spec: VmiSpec) -> tuple[Input, ...]:
    """The guest's input devices, except those that come with a display."""
    devices = spec.domain.devices
    if not devices.inputs and devices.autoattach_input_device:
        return (Input(name="default-0", type="tablet", bus="usb"),)
    return tuple(replace(device, bus=device.bus or "usb") for device in devices.inputs)


@dataclass(frozen=True, slots=True)
class Display:
    """A graphics card."""

    card: str
    """ "vga", "bochs", "virtio" or "ramfb"; empty: the launcher's choice for the boot loader."""


def effective_display(spec: VmiSpec) -> Display | None:
    """The guest's display; None if autoattachGraphicsDevice is false."""
    devices = spec.domain.devices
    if devices.autoattach_graphics_device is False:
        return None
    return Display(devices.video.type if devices.video is not None else "")


def effective_watchdog_action(spec: VmiSpec) -> str | None:
    """The action of an expired watchdog; None: no watchdog."""
    watchdog = spec.domain.devices.watchdog
    if watchdog is None or watchdog.i6300esb is None:
        return None
    return watchdog.i6300esb.action or "reset"


def boots_by_uefi(spec: VmiSpec) -> bool:
    """Whether the firmware is UEFI; BIOS otherwise."""
    bootloader = spec.domain.firmware.bootloader
    return bootloader is not None and bootloader.efi is not None


def _quantity(value: str | int | float, otherwise: Decimal) -> Decimal:
    try:
        return min(parse_quantity(str(value)), Decimal(MAX_BYTES))
    except ValueError:
        return otherwise
