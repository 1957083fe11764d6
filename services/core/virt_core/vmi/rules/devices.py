"""Rules for disks, inputs, watchdog and graphics of a VirtualMachineInstance. Pure; part of rules/check.py."""

from __future__ import annotations

import re
from collections.abc import Mapping

from virt_core.validation.refusal import (
    DNS_LABEL,
    Refusals,
    Text,
    at_most,
    matching,
    matching_if_set,
    one_of,
    refused,
    refused_switch,
    unique,
    unless,
    within,
)
from virt_core.vmi.spec.devices import CustomBlockSize, Devices, Disk, Watchdog
from virt_core.vmi.spec.domain import VmiSpec
from virt_core.vmi.spec.effective import DiskKind, EffectiveDisk, claimed_read_only, effective_disks, own_claim

# Each virtio disk and network card uses a slot of a bus with 32 slots.
_MAX_DISKS = 24
_MAX_INPUTS = 8
_MAX_BOOT_ORDER = 1000
_BUSES = {
    DiskKind.DISK: ("virtio", "sata", "scsi", "usb"),
    DiskKind.CDROM: ("sata", "scsi"),  # a CD drive on virtio does not exist
    DiskKind.LUN: ("scsi",),  # passes SCSI commands to the device
}
_CACHES = ("none", "writethrough", "writeback")
_IO = ("native", "threads")
_ERROR_POLICIES = ("stop", "report", "ignore", "enospace")
_SERIAL = Text(re.compile(r"[A-Za-z0-9_.+-]+"), 256, "256 letters, digits and _.+- at most")  # KubeVirt's
_MIN_BLOCK, _MAX_BLOCK = 512, 2 << 20  # QEMU's
_SATA_BLOCK = 512  # QEMU's
_CARDS = ("vga", "bochs", "virtio", "ramfb")
_ACTIONS = ("poweroff", "reset", "shutdown")


def device_refusals(spec: VmiSpec) -> Refusals:
    """What is wrong with spec.domain.devices, except interfaces."""
    devices, path = spec.domain.devices, "domain.devices"
    yield from _disks(spec)
    yield from _boot_order(devices)
    yield from at_most(f"{path}.inputs", devices.inputs, _MAX_INPUTS)
    for index, device in enumerate(devices.inputs):
        yield from matching(f"{path}.inputs[{index}].name", device.name, DNS_LABEL)
        yield from unless(device.type == "tablet", f"{path}.inputs[{index}].type", device.type, "tablet")
        yield from one_of(f"{path}.inputs[{index}].bus", device.bus, ("usb", "virtio"))
    if devices.watchdog is not None:
        yield from _watchdog(devices.watchdog)
    if devices.tpm is not None and devices.tpm.enabled is not False:
        yield refused_switch(f"{path}.tpm.enabled", devices.tpm.enabled, "false: this release has no TPM")
    if devices.video is not None:
        yield from one_of(f"{path}.video.type", devices.video.type, _CARDS)
        if devices.autoattach_graphics_device is False:
            yield refused(f"{path}.video", devices.video.type, "no video without autoattachGraphicsDevice")


def claim_refusals(spec: VmiSpec, modes: Mapping[str, str]) -> Refusals:
    """What is wrong with disks for these volume modes, by claim. They are known when the pod is created."""
    claims = {volume.name: own_claim(volume) for volume in spec.volumes}
    for index, disk in enumerate(spec.domain.devices.disks):
        claim = claims.get(disk.name)
        if disk.lun is not None and claim is not None and modes.get(claim.claim_name) != "Block":
            allowed = "disk: a lun is a claim of mode Block, and this one is a file system"
            yield refused(f"domain.devices.disks[{index}].lun", claim.claim_name, allowed)


def _disks(spec: VmiSpec) -> Refusals:
    disks, path = spec.domain.devices.disks, "domain.devices.disks"
    yield from at_most(path, disks, _MAX_DISKS)
    yield from unique(path, "name", [disk.name for disk in disks])
    yield from unique(path, "serial", [disk.serial for disk in disks])
    effective = {disk.name: disk for disk in effective_disks(spec)}
    named = {disk.name for disk in disks}
    for index, volume in enumerate(spec.volumes):
        if volume.name not in named and claimed_read_only(volume):
            allowed = "false, or a disk of that name that is a cdrom or on virtio, scsi or usb"
            yield refused(f"volumes[{index}].persistentVolumeClaim.readOnly", True, allowed)
    for index, disk in enumerate(disks):
        yield from _disk(f"{path}[{index}]", disk)
        if disk.name in effective:
            yield from _disk_and_volume(f"{path}[{index}]", effective[disk.name])
        else:
            names = ", ".join(volume.name[:63] for volume in spec.volumes[:_MAX_DISKS]) or "there is none"
            yield refused(f"{path}[{index}].name", disk.name, f"the name of a volume: {names}")


def _disk(path: str, disk: Disk) -> Refusals:
    yield from matching(f"{path}.name", disk.name, DNS_LABEL)
    targets = {DiskKind.DISK: disk.disk, DiskKind.CDROM: disk.cdrom, DiskKind.LUN: disk.lun}
    named = {kind: target for kind, target in targets.items() if target is not None}
    if len(named) > 1:
        yield refused(path, " and ".join(named), "one of disk, cdrom and lun")
    for kind, target in named.items():
        yield from one_of(f"{path}.{kind}.bus", target.bus, _BUSES[kind])
    if disk.cdrom is not None:
        yield from one_of(f"{path}.cdrom.tray", disk.cdrom.tray, ("open", "closed"))
        yield from unless(disk.cdrom.readonly is not False, f"{path}.cdrom.readonly", False, "true")
    yield from one_of(f"{path}.cache", disk.cache, _CACHES)
    yield from one_of(f"{path}.io", disk.io, _IO)
    if disk.io == "native" and disk.cache not in ("", "none"):
        yield refused(f"{path}.cache", disk.cache, "none with io: native")
    yield from one_of(f"{path}.errorPolicy", disk.error_policy, _ERROR_POLICIES)
    yield from matching_if_set(f"{path}.serial", disk.serial, _SERIAL)
    if disk.block_size is not None:
        if disk.block_size.custom is None:
            yield refused(f"{path}.blockSize.custom", "", "logical and physical")
        else:
            yield from _block_size(f"{path}.blockSize.custom", disk.block_size.custom)


def _block_size(path: str, size: CustomBlockSize) -> Refusals:
    allowed = f"a power of two from {_MIN_BLOCK} to {_MAX_BLOCK}"
    for field, value in (("logical", size.logical), ("physical", size.physical)):
        valid = _MIN_BLOCK <= value <= _MAX_BLOCK and value & (value - 1) == 0
        yield from unless(valid, f"{path}.{field}", value, allowed)
    if size.logical > size.physical:
        yield refused(f"{path}.logical", size.logical, f"at most the physical size, {size.physical}")


def _disk_and_volume(path: str, disk: EffectiveDisk) -> Refusals:
    claim = own_claim(disk.volume)
    if disk.kind is DiskKind.LUN and disk.disk.serial:
        yield refused(f"{path}.serial", disk.disk.serial, "none: a lun has its own")
    if disk.kind is DiskKind.LUN and claim is None:
        yield refused(f"{path}.lun", disk.name, "disk: a lun is a persistentVolumeClaim or dataVolume of mode Block")
    if disk.disk.shareable and claim is None:
        # Other volumes have an overlay per machine, so several machines cannot share writes.
        yield refused(f"{path}.shareable", True, "false: only a persistentVolumeClaim or dataVolume can be shared")
    if disk.kind is DiskKind.DISK and disk.bus == "sata" and disk.read_only:
        allowed = "virtio, scsi or usb: nothing on SATA is read-only but a cdrom"
        yield refused(f"{path}.disk.bus", disk.bus, allowed)
    size = disk.disk.block_size.custom if disk.disk.block_size is not None else None
    if size is not None and disk.kind is not DiskKind.DISK:
        yield refused(f"{path}.blockSize", disk.kind.value, "none: the device has its own")
    elif size is not None and disk.bus == "sata" and size.logical != _SATA_BLOCK:
        yield refused(f"{path}.blockSize.custom.logical", size.logical, f"{_SATA_BLOCK} on SATA")
    if disk.disk.dedicated_io_thread and disk.bus != "virtio":
        yield refused(f"{path}.dedicatedIOThread", True, f"false, or bus: virtio instead of {disk.bus[:16]}")


def _boot_order(devices: Devices) -> Refusals:
    """Boot orders start at 1 and are unique among disks and interfaces."""
    orders = [(f"domain.devices.disks[{index}]", disk.boot_order) for index, disk in enumerate(devices.disks)]
    orders += [
        (f"domain.devices.interfaces[{index}]", interface.boot_order)
        for index, interface in enumerate(devices.interfaces)
    ]
    seen: dict[int, str] = {}
    for path, order in orders:
        if order is None:
            continue
        yield from within(f"{path}.bootOrder", order, 1, _MAX_BOOT_ORDER)
        if order in seen:
            yield refused(f"{path}.bootOrder", order, f"one that spec.{seen[order]} does not have")
        seen.setdefault(order, path)


def _watchdog(watchdog: Watchdog) -> Refusals:
    path = "domain.devices.watchdog"
    yield from matching(f"{path}.name", watchdog.name, DNS_LABEL)
    if watchdog.i6300esb is None:
        yield refused(path, watchdog.name, "i6300esb: {}")
    else:
        yield from one_of(f"{path}.i6300esb.action", watchdog.i6300esb.action, _ACTIONS)
