"""Building blocks of domain XML. Used by xml.py and the modules beside it; values become text, never markup."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from kubevirt.launcher.v1 import machine_pb2


def text(parent: ET.Element, name: str, content: str, /, **attributes: str) -> None:
    """A child with text in it."""
    ET.SubElement(parent, name, attributes).text = content


def switch(on: bool) -> str:
    """libvirt's value for attributes called "state"."""
    return "on" if on else "off"


def yes_no(true: bool) -> str:
    """libvirt's value for most other boolean attributes."""
    return "yes" if true else "no"


def virtio_model(machine: machine_pb2.Machine) -> str:
    """The model of the machine's virtio devices."""
    return "virtio-transitional" if machine.virtio_transitional else "virtio"


def vcpus(machine: machine_pb2.Machine) -> int:
    """The number of virtual CPUs."""
    return machine.cpu.sockets * machine.cpu.cores * machine.cpu.threads
