"""What the guest runs on: memory, firmware, CPU, clock, switches. Pure; called by xml.py."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from kubevirt.launcher.v1 import machine_pb2
from virt_core.rpc.words import word

from virt_launcher.domain.elements import switch, text, yes_no
from virt_launcher.domain.files import DomainFiles

# Debian's package ovmf: firmware without secure boot, and the empty variable store that goes with it.
FIRMWARE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
FIRMWARE_VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.fd"

# QEMU's own default is up to 1 GiB for each guest, and a busy one fills it: 920 MiB resident were seen for a guest of
# 64 MiB. 32 MiB was QEMU's default for a decade.
TRANSLATION_CACHE_MIB = 64

# Without KVM there is neither a host's CPU for the guest nor a clock that a hypervisor hands to it.
_HOST_MODELS = ("", "host-model", "host-passthrough")
_HYPERVISOR_TIMERS = (machine_pb2.TIMER_NAME_KVMCLOCK, machine_pb2.TIMER_NAME_HYPERVCLOCK)


def memory_backing(domain: ET.Element, machine: machine_pb2.Machine) -> None:
    """Huge pages by memfd: they are the pod's to use without a file system of them mounted into it."""
    if not machine.hugepage_bytes:
        return
    backing = ET.SubElement(domain, "memoryBacking")
    ET.SubElement(ET.SubElement(backing, "hugepages"), "page", size=str(machine.hugepage_bytes >> 10), unit="KiB")
    ET.SubElement(backing, "source", type="memfd")


def sysinfo(domain: ET.Element, machine: machine_pb2.Machine) -> None:
    """What the firmware tells the guest of the machine."""
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
    """Machine type, firmware, and a kernel if one is booted directly. What else boots says so itself."""
    os = ET.SubElement(domain, "os")
    text(os, "type", "hvm", arch="x86_64", machine=machine.machine_type)
    if machine.bootloader == machine_pb2.BOOTLOADER_UEFI:
        text(os, "loader", FIRMWARE, readonly="yes", secure="no", type="pflash")
        # libvirt makes the machine's own store from the template when there is none.
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
    """Switches of the platform; those of KVM mean nothing without it."""
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
    """Unless a model is named, KVM: the named model nearest to this host's CPU, which another host can offer too
    (host-passthrough is one host's alone). Emulation: the same on every host and QEMU; "max" is not, it grows with
    each QEMU."""
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
    """The guest's clock, and timers that are not the hypervisor's choice."""
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
