"""What the QEMU and libvirt of a launcher's image know, as recorded when the image is built. Pure, but for `recorded`.

`session/capability-cache` writes the record, machine/execute.py reads it before a start. A guest can only move to a
launcher whose QEMU knows its machine type and its CPU model. virt-operator reads the record of another release before
an upgrade (suite/hypervisor.py).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubevirt.launcher.v1 import machine_pb2

_FAMILY = "pc-q35-"  # of the machine types that virt-launcher starts
_HOST_MODELS = ("", "host-model", "host-passthrough")


@dataclass(frozen=True, slots=True)
class MachineType:
    """A versioned machine type of QEMU."""

    name: str
    aliases: tuple[str, ...]
    """Names that this QEMU resolves to it, e.g. q35."""

    deprecated: bool
    """Whether a later QEMU removes it."""


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """The versions of QEMU and libvirt, and the hardware that both can give a guest."""

    qemu: str
    libvirt: str
    machine_types: tuple[MachineType, ...]
    cpu_models: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> Hypervisor:
        """Raises ValueError, KeyError or TypeError: the text is not such a record."""
        record: dict[str, Any] = json.loads(text)
        types = [
            MachineType(entry["name"], tuple(entry["aliases"]), bool(entry["deprecated"]))
            for entry in record["machineTypes"]
            if entry["name"].startswith(_FAMILY)
        ]
        types.sort(key=_release, reverse=True)
        return cls(record["qemu"], record["libvirt"], tuple(types), frozenset(record["cpuModels"]))

    @classmethod
    def recorded(cls, file: Path) -> Hypervisor | None:
        """That of the image's record; None outside of an image. Raises as `parse`."""
        try:
            return cls.parse(file.read_text())
        except FileNotFoundError:
            return None

    def resolve(self, machine_type: str) -> str:
        """The versioned machine type of a name or an alias; empty if this QEMU does not have it."""
        names = [t.name for t in self.machine_types if machine_type == t.name or machine_type in t.aliases]
        return names[0] if names else ""


def unknown_hardware(machine: machine_pb2.Machine, hypervisor: Hypervisor) -> str:
    """Which field of the machine needs what this hypervisor lacks, and what it has instead; empty if none does."""
    if not hypervisor.resolve(machine.machine_type):
        current = [t.name for t in hypervisor.machine_types if not t.deprecated]
        return (
            f"machine type {machine.machine_type!r} is not known to QEMU {hypervisor.qemu} of this launcher, "
            f"use q35 or one of {', '.join(current)}"
        )
    model = machine.cpu_model.name
    if model not in _HOST_MODELS and model not in hypervisor.cpu_models:
        return (
            f"CPU model {model!r} is not known to QEMU {hypervisor.qemu} and libvirt {hypervisor.libvirt} of this "
            f"launcher, use host-model or one of {', '.join(sorted(hypervisor.cpu_models))}"
        )
    return ""


def _release(machine_type: MachineType) -> tuple[int, ...]:
    return tuple(int(part) for part in machine_type.name.removeprefix(_FAMILY).split(".") if part.isdecimal())
