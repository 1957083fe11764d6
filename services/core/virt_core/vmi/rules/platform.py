"""Rules for machine type, firmware, clock and features of a VirtualMachineInstance. Pure; part of rules/check.py."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from virt_core.conventions.images import PULL_POLICIES
from virt_core.objects.kubevirt import Configuration
from virt_core.validation.refusal import (
    DNS_NAME,
    FILE,
    IMAGE,
    Refusals,
    Text,
    matching,
    matching_if_set,
    one_of,
    refused,
    refused_switch,
    unless,
    within,
)
from virt_core.vmi.spec.domain import Clock, Firmware, KernelBoot, Timers, VmiSpec
from virt_core.vmi.spec.effective import boots_by_uefi

_MACHINE_TYPE = Text(re.compile(r"q35|pc-q35-[0-9]+\.[0-9]+"), 32, "q35 or a version of it such as pc-q35-7.2")
_UUID = Text(re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"), 36, "a UUID")
# Of libvirt's own pattern for SMBIOS strings, within the 64 characters that every firmware shows.
_SMBIOS = Text(re.compile(r"[A-Za-z0-9/_.() -]*[A-Za-z0-9/_.()-]"), 64, "64 letters, digits, spaces and /_.()- at most")
# 2048: the longest command line of an x86 Linux kernel.
_KERNEL_ARGS = Text(re.compile(r"[\x20-\x7e]*"), 2047, "2047 characters of printable ASCII at most")
# Names of the time zone database.
_TIMEZONE = Text(
    re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9_+-]{1,32}){0,2}"), 98, "a time zone such as Europe/Berlin"
)
_MAX_OFFSET = (1 << 31) - 1  # seconds; the field is an int32
# KubeVirt's policies, as far as QEMU supports them.
_TICK_POLICIES = {
    "hpet": ("delay", "catchup", "merge", "discard"),
    "pit": ("delay", "catchup", "discard"),
    "rtc": ("delay", "catchup"),
}


def platform_refusals(spec: VmiSpec, configuration: Configuration | None) -> Refusals:
    """What is wrong with spec.domain's machine, firmware, chassis, clock and features."""
    domain = spec.domain
    yield from _machine_type(domain.machine.type, configuration)
    yield from _firmware(domain.firmware)
    if domain.chassis is not None:
        for field in ("manufacturer", "version", "serial", "asset", "sku"):
            yield from matching_if_set(f"domain.chassis.{field}", getattr(domain.chassis, field), _SMBIOS)
    if domain.clock is not None:
        yield from _clock(domain.clock)
    yield from _features(spec)


def _features(spec: VmiSpec) -> Refusals:
    features, bootloader = spec.domain.features, spec.domain.firmware.bootloader
    if boots_by_uefi(spec) and not features.acpi.on:
        yield refused("domain.features.acpi.enabled", False, "true: UEFI needs ACPI")
    if features.apic is not None and features.apic.enabled is False and features.apic.end_of_interrupt:
        yield refused("domain.features.apic.endOfInterrupt", True, "false without an APIC")
    if bootloader is not None and bootloader.bios is not None and bootloader.bios.use_serial:
        there = spec.domain.devices.autoattach_serial_console is not False
        path = "domain.firmware.bootloader.bios.useSerial"
        yield from unless(there, path, True, "false without autoattachSerialConsole")


def _machine_type(machine_type: str, configuration: Configuration | None) -> Refusals:
    if machine_type == "":
        return
    path, globs = "domain.machine.type", configuration.machine_types if configuration is not None else ("*",)
    if not _MACHINE_TYPE.accepts(machine_type):
        yield refused(path, machine_type, _MACHINE_TYPE.words)
    elif not any(fnmatchcase(machine_type, glob) for glob in globs):
        yield refused(path, machine_type, f"one of the cluster's emulatedMachines: {', '.join(globs)}")


def _firmware(firmware: Firmware) -> Refusals:
    path = "domain.firmware"
    yield from matching_if_set(f"{path}.uuid", firmware.uuid, _UUID)
    yield from matching_if_set(f"{path}.serial", firmware.serial, _SMBIOS)
    if firmware.bootloader is not None:
        yield from _bootloader(firmware)
    if firmware.kernel_boot is not None:
        yield from _kernel_boot(firmware.kernel_boot)


def _bootloader(firmware: Firmware) -> Refusals:
    assert firmware.bootloader is not None
    path, bios, efi = "domain.firmware.bootloader", firmware.bootloader.bios, firmware.bootloader.efi
    if bios is not None and efi is not None:
        yield refused(path, "bios and efi", "one of them")
    if efi is None:
        return
    if efi.secure_boot is not False:
        yield refused_switch(f"{path}.efi.secureBoot", efi.secure_boot, "false: this release has no secure boot")
    yield from unless(not efi.persistent, f"{path}.efi.persistent", efi.persistent, "false: variables are not kept")


def _kernel_boot(boot: KernelBoot) -> Refusals:
    path, container = "domain.firmware.kernelBoot.container", boot.container
    yield from matching("domain.firmware.kernelBoot.kernelArgs", boot.kernel_args, _KERNEL_ARGS)
    if container is None:
        yield refused(path, "", "an image with a kernel")
        return
    yield from matching(f"{path}.image", container.image, IMAGE)
    if container.kernel_path or not container.initrd_path:  # an initrd alone is accepted, as KubeVirt does
        yield from matching(f"{path}.kernelPath", container.kernel_path, FILE)
    yield from matching_if_set(f"{path}.initrdPath", container.initrd_path, FILE)
    yield from one_of(f"{path}.imagePullPolicy", container.image_pull_policy, PULL_POLICIES)
    yield from matching_if_set(f"{path}.imagePullSecret", container.image_pull_secret, DNS_NAME)


def _clock(clock: Clock) -> Refusals:
    path = "domain.clock"
    if clock.utc is not None:
        yield from within(f"{path}.utc.offsetSeconds", clock.utc.offset_seconds, -_MAX_OFFSET, _MAX_OFFSET)
        if clock.timezone:
            yield refused(path, "utc and timezone", "one of them")
    yield from matching_if_set(f"{path}.timezone", clock.timezone, _TIMEZONE)
    if clock.timer is not None:
        yield from _timers(clock.timer)


def _timers(timers: Timers) -> Refusals:
    path = "domain.clock.timer"
    for name, timer in (("hpet", timers.hpet), ("pit", timers.pit), ("rtc", timers.rtc)):
        if timer is not None:
            yield from one_of(f"{path}.{name}.tickPolicy", timer.tick_policy, _TICK_POLICIES[name])
    if timers.rtc is not None:
        yield from one_of(f"{path}.rtc.track", timers.rtc.track, ("guest", "wall"))
