"""The closed set of actions on files for a disk. Pure; planned by plan.py, executed in order by execute.py.

All are repeatable as long as the guest never ran.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from virt_launcher.storage.layers import Layer


@dataclass(frozen=True, slots=True)
class CheckQcow2:
    """Check the image's tables with qemu-img. Only after its header was checked to name no other file."""

    path: str


@dataclass(frozen=True, slots=True)
class MakeOverlay:
    """Create a qcow2 overlay for writes; `backing` stays unchanged."""

    path: str
    backing: Layer
    virtual_bytes: int


@dataclass(frozen=True, slots=True)
class MakeEmpty:
    """Create an empty qcow2."""

    path: str
    virtual_bytes: int


@dataclass(frozen=True, slots=True)
class MakeIso:
    """Create an ISO 9660 file system with these files, by their relative paths."""

    path: str
    label: str
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class MakeZeros:
    """Create a file of zeros, for the content of a disk that a live migration copies."""

    path: str
    size_bytes: int


Action = CheckQcow2 | MakeOverlay | MakeEmpty | MakeIso | MakeZeros
