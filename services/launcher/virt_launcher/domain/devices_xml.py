"""XML of the guest's devices except disks. Pure; part of xml.py.

Contains only requested devices, because each costs memory and startup time. The exception is the guest agent's channel:
it is unknown whether the guest will have an agent.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from kubevirt.launcher.v1 import machine_pb2
from virt_core.rpc.words import word

from virt_launcher.domain.elements import text, vcpus, virtio_model
from virt_launcher.domain.files import DomainFiles
from virt_launcher.domain.names import AGENT_CHANNEL

# libvirt's maximum number of queues, which KubeVirt uses as well.
_MOST_QUEUES = 256


def devices(parent: ET.Element, machine: machine_pb2.Machine, files: DomainFiles) -> None:
    """Add all devices except disks and their controllers."""
    _usb(parent, machine)
    for interface in machine.interfaces:
        _interface(parent, interface, machine)
    if machine.HasField("serial_console"):
        _serial(parent, machine.serial_console)
    _agent_channel(parent, machine, files)
    for wanted in machine.inputs:
        kind, bus = word(machine_pb2.InputType, wanted.type), word(machine_pb2.InputBus, wanted.bus)
        ET.SubElement(parent, "input", type=kind, bus=bus)
    if machine.HasField("display"):
        _display(parent, machine)
    if machine.HasField("watchdog"):
        model = word(machine_pb2.WatchdogModel, machine.watchdog.model)
        action = word(machine_pb2.WatchdogAction, machine.watchdog.action)
        ET.SubElement(parent, "watchdog", model=model, action=action)
    if machine.balloon:
        # Pages that the guest does not use are returned to the node.
        balloon = ET.SubElement(parent, "memballoon", model=virtio_model(machine), freePageReporting="on")
        ET.SubElement(balloon, "stats", period="10")  # seconds after which the guest reports its memory, KubeVirt's
    else:
        ET.SubElement(parent, "memballoon", model="none")
    if machine.rng:
        rng = ET.SubElement(parent, "rng", model=virtio_model(machine))
        text(rng, "backend", "/dev/urandom", model="random")
    ET.SubElement(parent, "panic", model="isa")


def _usb(parent: ET.Element, machine: machine_pb2.Machine) -> None:
    needed = any(disk.bus == machine_pb2.DISK_BUS_USB for disk in machine.disks) or any(
        wanted.bus == machine_pb2.INPUT_BUS_USB for wanted in machine.inputs
    )
    ET.SubElement(parent, "controller", type="usb", model="qemu-xhci" if needed else "none")


def _interface(parent: ET.Element, interface: machine_pb2.NetworkInterface, machine: machine_pb2.Machine) -> None:
    virtio = interface.model == machine_pb2.NETWORK_CARD_MODEL_VIRTIO
    element = ET.SubElement(parent, "interface", type="ethernet")
    ET.SubElement(element, "mac", address=interface.mac_address)
    # Not managed: the tap device is made by the handler, this process has no privilege for it.
    ET.SubElement(element, "target", dev=interface.tap_device, managed="no")
    ET.SubElement(
        element, "model", type=virtio_model(machine) if virtio else word(machine_pb2.NetworkCardModel, interface.model)
    )
    if virtio:
        driver = ET.SubElement(element, "driver", name="qemu")
        queues = min(vcpus(machine), _MOST_QUEUES)
        if interface.multiqueue and queues > 1:
            driver.set("queues", str(queues))
    if interface.link_down:
        ET.SubElement(element, "link", state="down")
    if interface.mtu:
        ET.SubElement(element, "mtu", size=str(interface.mtu))
    if interface.boot_order:
        ET.SubElement(element, "boot", order=str(interface.boot_order))
    else:
        # No option ROM: nothing is booted from here, and the firmware would wait for an answer.
        ET.SubElement(element, "rom", enabled="no")
    if interface.acpi_index:
        ET.SubElement(element, "acpi", index=str(interface.acpi_index))


def _serial(parent: ET.Element, console: machine_pb2.SerialConsole) -> None:
    serial = ET.SubElement(parent, "serial", type="unix")
    ET.SubElement(serial, "source", mode="bind", path=console.socket_path)
    if console.log_path:
        ET.SubElement(serial, "log", file=console.log_path, append="on")
    ET.SubElement(serial, "target", type="isa-serial", port="0")


def _agent_channel(parent: ET.Element, machine: machine_pb2.Machine, files: DomainFiles) -> None:
    ET.SubElement(parent, "controller", type="virtio-serial", index="0", model=virtio_model(machine))
    channel = ET.SubElement(parent, "channel", type="unix")
    ET.SubElement(channel, "source", mode="bind", path=str(files.agent_socket))
    ET.SubElement(channel, "target", type="virtio", name=AGENT_CHANNEL)


def _display(parent: ET.Element, machine: machine_pb2.Machine) -> None:
    """VNC on a unix socket, which only processes with access to the pod's folder can use."""
    graphics = ET.SubElement(parent, "graphics", type="vnc")
    ET.SubElement(graphics, "listen", type="socket", socket=machine.display.socket_path)
    # SeaBIOS and every boot loader support standard VGA; UEFI uses bochs, without VGA's legacy ports.
    card = "bochs" if machine.bootloader == machine_pb2.BOOTLOADER_UEFI else "vga"
    if machine.display.HasField("card"):
        card = word(machine_pb2.DisplayCard, machine.display.card)
    ET.SubElement(ET.SubElement(parent, "video"), "model", type=card, heads="1", primary="yes")
