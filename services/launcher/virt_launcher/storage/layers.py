"""What a disk consists of, for domain/disks_xml.py. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layer:
    """One image of a disk.

    Attributes:
        path: absolute, of a file or a device node. That of a file that is not the launcher's own is below its
            /proc/<pid>/fd: whoever can write in the folder that it comes from cannot put another in its place.
        format: "raw" or "qcow2"; never guessed by the hypervisor.
        block: it is a block device.
    """

    path: str
    format: str
    block: bool = False


@dataclass(frozen=True, slots=True)
class PreparedDisk:
    """A disk that can be attached.

    Attributes:
        layers: what is written to first, what it lies upon after it. Empty: a drive without a medium.
        direct: every layer's file system can do without the page cache (O_DIRECT).
    """

    layers: tuple[Layer, ...] = ()
    direct: bool = False
