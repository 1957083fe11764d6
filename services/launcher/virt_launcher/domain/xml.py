"""A machine in libvirt's words: a pure function from the contract's Machine to domain XML.

Called by machine/execute.py. Built as a tree, never by pasting text, so that no value can become an element. The
elements are those of libvirt 9.0's domain format. What is valid was checked by servicer.py before.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from kubevirt.launcher.v1 import launcher_pb2 as pb

# One pod, one libvirtd, one domain. A fixed name keeps QEMU's socket paths below a unix socket's 107 characters.
DOMAIN_NAME = "guest"
EMULATOR = "/usr/bin/qemu-system-x86_64"


# QEMU's own default is up to 1 GiB for each guest, and a busy one fills it: 920 MiB resident were seen for a guest of
# 64 MiB. 32 MiB was QEMU's default for a decade.
TRANSLATION_CACHE_MIB = 64


def domain_xml(machine: pb.Machine) -> str:
    """The domain of `machine`."""
    kvm = machine.accelerator == pb.ACCELERATOR_KVM
    domain = ET.Element("domain", type="kvm" if kvm else "qemu")
    _text(domain, "name", DOMAIN_NAME)
    _text(domain, "uuid", machine.firmware_uuid)
    _text(domain, "title", f"{machine.namespace}/{machine.name}")
    _text(domain, "memory", str(machine.memory_bytes), unit="b")
    _text(domain, "vcpu", str(machine.cpu.sockets * machine.cpu.cores * machine.cpu.threads))
    _os(domain, machine)
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")
    if not kvm:
        tcg = ET.SubElement(features, "tcg")
        _text(tcg, "tb-cache", str(TRANSLATION_CACHE_MIB), unit="MiB")
    _cpu(domain, machine, kvm=kvm)
    ET.SubElement(domain, "clock", offset="utc")
    _text(domain, "on_poweroff", "destroy")
    _text(domain, "on_reboot", "restart")
    # The panicked QEMU stays, so that a panic is told from a killed QEMU whoever was away when it happened.
    _text(domain, "on_crash", "preserve")
    devices = ET.SubElement(domain, "devices")
    _text(devices, "emulator", EMULATOR)
    ET.SubElement(devices, "controller", type="usb", model="none")
    for interface in machine.interfaces:
        _interface(devices, interface)
    if machine.HasField("serial_console"):
        _serial(devices, machine.serial_console)
    ET.SubElement(devices, "memballoon", model="none")
    rng = ET.SubElement(devices, "rng", model="virtio")
    _text(rng, "backend", "/dev/urandom", model="random")
    ET.SubElement(devices, "panic", model="isa")
    return ET.tostring(domain, encoding="unicode")


def _os(domain: ET.Element, machine: pb.Machine) -> None:
    os = ET.SubElement(domain, "os")
    _text(os, "type", "hvm", arch="x86_64", machine=machine.machine_type)
    if not machine.HasField("kernel_boot"):
        return
    _text(os, "kernel", machine.kernel_boot.kernel_path)
    if machine.kernel_boot.initrd_path:
        _text(os, "initrd", machine.kernel_boot.initrd_path)
    if machine.kernel_boot.command_line:
        _text(os, "cmdline", machine.kernel_boot.command_line)


def _cpu(domain: ET.Element, machine: pb.Machine, *, kvm: bool) -> None:
    """KVM: the named model nearest to this host's CPU, which another host can offer too (host-passthrough is one
    host's alone). Emulation: the same on every host and QEMU; "max" is not, it grows with each QEMU."""
    if kvm:
        cpu = ET.SubElement(domain, "cpu", mode="host-model", check="partial")
    else:
        cpu = ET.SubElement(domain, "cpu", mode="custom", match="exact", check="none")
        _text(cpu, "model", "qemu64", fallback="forbid")
    topology = machine.cpu
    levels = {"sockets": topology.sockets, "dies": 1, "cores": topology.cores, "threads": topology.threads}
    ET.SubElement(cpu, "topology", {level: str(count) for level, count in levels.items()})


def _interface(devices: ET.Element, interface: pb.NetworkInterface) -> None:
    element = ET.SubElement(devices, "interface", type="ethernet")
    ET.SubElement(element, "mac", address=interface.mac_address)
    # Not managed: the tap device is made by the handler, this process has no privilege for it.
    ET.SubElement(element, "target", dev=interface.tap_device, managed="no")
    ET.SubElement(element, "model", type=interface.model)
    if interface.model == "virtio":
        ET.SubElement(element, "driver", name="qemu")
    if interface.mtu:
        ET.SubElement(element, "mtu", size=str(interface.mtu))
    # No option ROM: nothing is booted over the network, and the firmware would wait for an answer.
    ET.SubElement(element, "rom", enabled="no")


def _serial(devices: ET.Element, console: pb.SerialConsole) -> None:
    serial = ET.SubElement(devices, "serial", type="unix")
    ET.SubElement(serial, "source", mode="bind", path=console.socket_path)
    if console.log_path:
        ET.SubElement(serial, "log", file=console.log_path, append="on")
    ET.SubElement(serial, "target", type="isa-serial", port="0")


def _text(parent: ET.Element, name: str, text: str, /, **attributes: str) -> None:
    ET.SubElement(parent, name, attributes).text = text
