"""What a launcher's QEMU and libvirt know of hardware, as its image prints it. Pure.

Read by the plan of a change (preflight/) and, as long as a roll back is open, by change/hardware.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

_FAMILY = "pc-q35-"  # of the machine types that virt-launcher starts


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """What QEMU and libvirt know, as the image of a launcher records it."""

    qemu: str
    libvirt: str
    machine_types: frozenset[str]
    """With the aliases."""

    cpu_models: frozenset[str]
    cpu_features: frozenset[str] | None
    """None: a release whose record has no features."""

    aliases: frozenset[str] = frozenset()
    """Those of `machine_types` that stand for another one."""

    whose: str = "the target"
    """Of which release, for messages."""


class BadRecord(ValueError):
    """The text is not a launcher's record."""


class _Type(msgspec.Struct, frozen=True):
    name: str
    aliases: list[str] = []
    deprecated: bool = False


class _Record(msgspec.Struct, frozen=True, rename="camel"):
    qemu: str
    libvirt: str
    machine_types: list[_Type]
    cpu_models: list[str]
    cpu_features: list[str] | None = None


def parse_record(text: bytes) -> Hypervisor:
    """The record that a launcher's image printed.

    Raises:
        BadRecord: it is something else.
    """
    try:
        record = msgspec.json.decode(text, type=_Record)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRecord(f"not a launcher's record: {error}") from error
    types = [found for found in record.machine_types if found.name.startswith(_FAMILY)]
    names = {name for found in types for name in (found.name, *found.aliases)}
    features = None if record.cpu_features is None else frozenset(record.cpu_features)
    aliases = frozenset(alias for found in types for alias in found.aliases)
    return Hypervisor(record.qemu, record.libvirt, frozenset(names), frozenset(record.cpu_models), features, aliases)


def newest(machine_types: Iterable[str]) -> str:
    """The newest of machine types that QEMU numbers; "" if there is none."""
    return max((name for name in machine_types if name.startswith(_FAMILY)), key=_release, default="")


def _release(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.removeprefix(_FAMILY).split(".") if part.isdecimal())
