"""The layers of a disk, for domain/disks_xml.py. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layer:
    """One image of a disk."""

    path: str
    """Absolute, of a file or a device node, and the same in every launcher pod. A file that is not the launcher's own
    is behind a link to a descriptor of the launcher: whoever can write in the file's folder cannot replace it."""

    format: str
    """"raw" or "qcow2"; never guessed by the hypervisor."""

    block: bool = False
    """It is a block device."""


@dataclass(frozen=True, slots=True)
class PreparedDisk:
    """A disk that can be attached."""

    layers: tuple[Layer, ...] = ()
    """What is written to first, what it lies upon after it. Empty: a drive without a medium."""

    direct: bool = False
    """Every layer's file system can do without the page cache (O_DIRECT)."""
