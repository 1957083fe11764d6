"""XML of the platform: memory, firmware, CPU, clock, features. Pure; part of xml.py."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from kubevirt.launcher.v1 import machine_pb2
from virt_core.rpc.words import word

from virt_launcher.domain.elements import switch, text, yes_no
from virt_launcher.domain.files import DomainFiles

# Debian's package ovmf: firmware without secure boot, and the matching empty variable store.
FIRMWARE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
FIRMWARE_VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.fd"

# QEMU's default is up to 1 GiB per guest, and a busy guest fills it: 920 MiB resident were measured for a guest of
# 64 MiB. 32 MiB was QEMU's default for a decade.
TRANSLATION_CACHE_MIB = 64

# Not available without KVM: the host's CPU and paravirtual clocks.
_HOST_MODELS = ("", "host-model", "host-passthrough")
_HYPERVISOR_TIMERS = (machine_pb2.TIMER_NAME_KVMCLOCK, machine_pb2.TIMER_NAME_HYPERVCLOCK)


def memory_backing(domain: ET.Element, machine: machine_pb2.Machine) -> None:
    """Huge pages by memfd, which the pod can use without a hugetlbfs mount."""
    if not machine.hugepage_bytes:
        return
    backing = ET.SubElement(domain, "memoryBacking")
    ET.SubElement(ET.SubElement(backing, "hugepages"), "page", size=str(machine.hugepage_bytes >> 10), unit="KiB")
    ET.SubElement(backing, "source", type="memfd")


def sysinfo(domain: ET.Element, machine: machine_pb2.Machine) -> None:
    """Add the SMBIOS fields."""
    smbios = machine.smbios
    blocks = {
        "system": {
            "manufacturer": smbios.manufacturer,
            "product": smbios.product,
            "version": smbios.version,
            "serial": smbios.serial,
            "sku": smbios.sku,
            "family": smbios.family,
        },
        "chassis": {
            "manufacturer": smbios.chassis_manufacturer,
            "version": smbios.chassis_version,
            "serial": smbios.chassis_serial,
            "asset": smbios.chassis_asset,
            "sku": smbios.chassis_sku,
        },
    }
    if not _tells(smbios):
        return
    element = ET.SubElement(domain, "sysinfo", type="smbios")
    for block, entries in blocks.items():
        if any(entries.values()):
            parent = ET.SubElement(element, block)
            for name, value in entries.items():
                if value:
                    text(parent, "entry", value, name=name)


def boot(domain: ET.Element, machine: machine_pb2.Machine, files: DomainFiles) -> None:
    """Add machine type, firmware, and the kernel of a direct boot. Other boot devices have their own boot order."""
    os = ET.SubElement(domain, "os")
    text(os, "type", "hvm", arch="x86_64", machine=machine.machine_type)
    if machine.bootloader == machine_pb2.BOOTLOADER_UEFI:
        text(os, "loader", FIRMWARE, readonly="yes", secure="no", type="pflash")
        # libvirt creates the machine's variable store from the template if it does not exist.
        text(os, "nvram", str(files.firmware_variables), template=FIRMWARE_VARIABLES)
    if machine.HasField("kernel_boot"):
        text(os, "kernel", machine.kernel_boot.kernel_path)
        if machine.kernel_boot.initrd_path:
            text(os, "initrd", machine.kernel_boot.initrd_path)
        if machine.kernel_boot.command_line:
            text(os, "cmdline", machine.kernel_boot.command_line)
    if machine.bootloader == machine_pb2.BOOTLOADER_BIOS_SERIAL:
        ET.SubElement(os, "bios", useserial="yes")
    if _tells(machine.smbios):
        ET.SubElement(os, "smbios", mode="sysinfo")


def features(domain: ET.Element, machine: machine_pb2.Machine, *, kvm: bool) -> None:
    """Add platform features; KVM's only with KVM."""
    wanted = machine.features if machine.HasField("features") else machine_pb2.Features(acpi=True, apic=True)
    element = ET.SubElement(domain, "features")
    if wanted.acpi:
        ET.SubElement(element, "acpi")
    if wanted.apic:
        ET.SubElement(element, "apic", {"eoi": "on"} if kvm and wanted.apic_eoi else {})
    if kvm and wanted.kvm_hidden:
        ET.SubElement(ET.SubElement(element, "kvm"), "hidden", state="on")
    if kvm and wanted.HasField("pvspinlock"):
        ET.SubElement(element, "pvspinlock", state=switch(wanted.pvspinlock))
    if wanted.HasField("smm"):
        ET.SubElement(element, "smm", state=switch(wanted.smm))
    if not kvm:
        text(ET.SubElement(element, "tcg"), "tb-cache", str(TRANSLATION_CACHE_MIB), unit="MiB")


def cpu(domain: ET.Element, machine: machine_pb2.Machine, *, kvm: bool) -> None:
    """Add the CPU. Defaults: with KVM the named model closest to this host's CPU, which other hosts may offer as well
    (unlike host-passthrough); with emulation a model that is the same on every host and QEMU (unlike "max", which grows
    with each QEMU)."""
    name = machine.cpu_model.name
    if kvm and name == "host-passthrough":
        element = ET.SubElement(domain, "cpu", mode=name, check="none")
    elif kvm and name in _HOST_MODELS:
        element = ET.SubElement(domain, "cpu", mode="host-model", check="partial")
    else:
        element = ET.SubElement(domain, "cpu", mode="custom", match="exact", check="partial" if kvm else "none")
        text(element, "model", "qemu64" if name in _HOST_MODELS else name, fallback="forbid")
    topology = machine.cpu
    levels = {"sockets": topology.sockets, "dies": 1, "cores": topology.cores, "threads": topology.threads}
    ET.SubElement(element, "topology", {level: str(count) for level, count in levels.items()})
    for feature in machine.cpu_model.features:
        ET.SubElement(element, "feature", policy=word(machine_pb2.CpuFeaturePolicy, feature.policy), name=feature.name)


def clock(domain: ET.Element, machine: machine_pb2.Machine, *, kvm: bool) -> None:
    """Add the guest's clock and the timers that are set explicitly."""
    wanted = machine.clock
    if wanted.timezone:
        element = ET.SubElement(domain, "clock", offset="timezone", timezone=wanted.timezone)
    elif wanted.utc_offset_seconds:
        adjustment = str(wanted.utc_offset_seconds)
        element = ET.SubElement(domain, "clock", offset="variable", adjustment=adjustment, basis="utc")
    else:
        element = ET.SubElement(domain, "clock", offset="utc")
    for timer in wanted.timers:
        if not kvm and timer.name in _HYPERVISOR_TIMERS:
            continue
        attributes = {"name": word(machine_pb2.TimerName, timer.name), "present": yes_no(timer.present)}
        if timer.present and timer.HasField("tick_policy"):
            attributes["tickpolicy"] = word(machine_pb2.TickPolicy, timer.tick_policy)
        if timer.present and timer.HasField("track"):
            attributes["track"] = word(machine_pb2.TimerTrack, timer.track)
        ET.SubElement(element, "timer", attributes)


def _tells(smbios: machine_pb2.Smbios) -> bool:
    return bool(smbios.ListFields())
