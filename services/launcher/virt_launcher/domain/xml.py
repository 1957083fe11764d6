"""Translates the contract's Machine to libvirt's domain XML. Pure.

Called by machine/execute.py. Builds a tree instead of text, so that no value can become an element. The elements are
those of libvirt 9.0's domain format: platform_xml.py has platform and CPU, devices_xml.py devices, disks_xml.py disks.
servicer.py has validated the machine before.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from kubevirt.launcher.v1 import machine_pb2

from virt_launcher.domain.devices_xml import devices
from virt_launcher.domain.disks_xml import disks, io_threads
from virt_launcher.domain.elements import text, vcpus
from virt_launcher.domain.files import DomainFiles
from virt_launcher.domain.names import EMULATOR, domain_name
from virt_launcher.domain.platform_xml import boot, clock, cpu, features, memory_backing, sysinfo
from virt_launcher.storage.layers import PreparedDisk


def domain_xml(machine: machine_pb2.Machine, files: DomainFiles, prepared: Sequence[PreparedDisk] = ()) -> str:
    """The domain of `machine`; `prepared` has the layers of its disks."""
    kvm = machine.accelerator == machine_pb2.ACCELERATOR_KVM
    domain = ET.Element("domain", type="kvm" if kvm else "qemu")
    text(domain, "name", domain_name(machine.namespace, machine.name))
    text(domain, "uuid", machine.firmware_uuid)
    text(domain, "title", f"{machine.namespace}/{machine.name}")
    text(domain, "memory", str(machine.memory_bytes), unit="b")
    memory_backing(domain, machine)
    text(domain, "vcpu", str(vcpus(machine)))
    io_threads(domain, machine)
    sysinfo(domain, machine)
    boot(domain, machine, files)
    features(domain, machine, kvm=kvm)
    cpu(domain, machine, kvm=kvm)
    clock(domain, machine, kvm=kvm)
    text(domain, "on_poweroff", "destroy")
    text(domain, "on_reboot", "restart")
    # QEMU stays after a panic, so that a launcher that restarts later can distinguish it from a killed QEMU.
    text(domain, "on_crash", "preserve")
    inside = ET.SubElement(domain, "devices")
    text(inside, "emulator", EMULATOR)
    disks(inside, machine, prepared)
    devices(inside, machine, files)
    return ET.tostring(domain, encoding="unicode")
