"""The supported devices of a VirtualMachineInstance. Part of spec/domain.py. Validation: rules/devices.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from virt_core.validation.strict import Empty, Off, Strict
from virt_core.vmi.spec.volumes import Bridge, Masquerade


class DiskTarget(Strict, frozen=True):
    """An ordinary disk."""

    bus: str = ""
    readonly: bool = False


class CdromTarget(Strict, frozen=True):
    """A CD drive."""

    bus: str = ""
    readonly: bool | None = None
    tray: str = ""


class LunTarget(Strict, frozen=True):
    """A SCSI logical unit whose commands reach the device."""

    bus: str = ""
    readonly: bool = False


class CustomBlockSize(Strict, frozen=True):
    """Sizes in bytes."""

    logical: int = 0
    physical: int = 0


class BlockSize(Strict, frozen=True):
    """The block size that the guest sees."""

    custom: CustomBlockSize | None = None


class Disk(Strict, frozen=True):
    """A disk with the contents of the volume of the same name. Without disk, cdrom or lun it is a disk."""

    name: str
    disk: DiskTarget | None = None
    cdrom: CdromTarget | None = None
    lun: LunTarget | None = None
    boot_order: int | None = None
    serial: str = ""
    cache: str = ""
    io: str = ""
    error_policy: str = ""
    shareable: bool | None = None
    dedicated_io_thread: bool | None = msgspec.field(default=None, name="dedicatedIOThread")
    block_size: BlockSize | None = None


class Port(Strict, frozen=True):
    """A port that is forwarded to the guest. If any is listed, only listed ports are forwarded."""

    port: int
    name: str = ""
    protocol: str = "TCP"


class Interface(Strict, frozen=True):
    """A network card, connected to the network of the same name."""

    instead: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("binding", "macvtap", "passt", "passtBinding", "slirp", "sriov"), "use masquerade or bridge"
    )
    name: str
    masquerade: Masquerade | None = None
    bridge: Bridge | None = None
    model: str = "virtio"
    mac_address: str = ""
    ports: list[Port] = []
    boot_order: int | None = None
    acpi_index: int = 0
    state: str = ""


class Input(Strict, frozen=True):
    """A pointing device or a keyboard."""

    name: str
    type: str
    bus: str = ""


class I6300Esb(Strict, frozen=True):
    """Intel's PCI watchdog."""

    action: str = ""


class Watchdog(Strict, frozen=True):
    """A watchdog."""

    name: str
    i6300esb: I6300Esb | None = None


class Video(Strict, frozen=True):
    """A graphics card."""

    type: str = ""


class Devices(Strict, frozen=True):
    """Devices."""

    disks: list[Disk] = []
    interfaces: list[Interface] = []
    inputs: list[Input] = []
    watchdog: Watchdog | None = None
    rng: Empty | None = None
    video: Video | None = None
    tpm: Off | None = None
    autoattach_pod_interface: bool | None = None
    autoattach_serial_console: bool | None = None
    autoattach_graphics_device: bool | None = None
    autoattach_mem_balloon: bool | None = None
    autoattach_input_device: bool | None = None
    log_serial_console: bool | None = None
    block_multi_queue: bool | None = None
    network_interface_multiqueue: bool | None = None
    use_virtio_transitional: bool | None = None
    disable_hotplug: bool = False
    """Accepted without effect: this release has no hotplug."""
