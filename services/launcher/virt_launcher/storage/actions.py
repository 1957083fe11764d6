"""Everything that is done to files for a disk. Pure; decided by plan.py, done by execute.py, in order.
Each may be repeated as long as the guest never ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from virt_launcher.storage.layers import Layer


@dataclass(frozen=True, slots=True)
class CheckQcow2:
    """Have QEMU's own tool read the image's tables. Legal once its header is known to name no other file."""

    path: str


@dataclass(frozen=True, slots=True)
class MakeOverlay:
    """A qcow2 that takes what is written, `backing` stays as it is."""

    path: str
    backing: Layer
    virtual_bytes: int


@dataclass(frozen=True, slots=True)
class MakeEmpty:
    """A qcow2 with nothing in it."""

    path: str
    virtual_bytes: int


@dataclass(frozen=True, slots=True)
class MakeIso:
    """An ISO 9660 file system with these files, by their relative paths."""

    path: str
    label: str
    files: Mapping[str, bytes]


Action = CheckQcow2 | MakeOverlay | MakeEmpty | MakeIso
