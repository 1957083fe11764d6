"""Plans the layers of a disk and the actions that create them, from the disk and its source.

Pure; called by prepare.py. Knows no file system.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kubevirt.launcher.v1 import machine_pb2

from virt_launcher.storage.access import is_read_only
from virt_launcher.storage.actions import Action, CheckQcow2, MakeEmpty, MakeIso, MakeOverlay, MakeZeros
from virt_launcher.storage.image_header import UnusableImage, image_header
from virt_launcher.storage.layers import Layer


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """A file or device that was found and is held open."""

    path: str
    """By which it is opened again, see Layer."""

    size_bytes: int
    head: bytes = b""
    """Its first bytes."""

    block: bool = False
    any_format: bool = False
    """The user chose the format; else it is raw whatever the guest writes into it."""


@dataclass(frozen=True, slots=True)
class Documents:
    """Files for a disk, by their relative paths."""

    files: Mapping[str, bytes]
    label: str


Found = OpenedImage | Documents | None


@dataclass(frozen=True, slots=True)
class Preparation:
    """The actions, and the resulting disk."""

    actions: tuple[Action, ...]
    layers: tuple[Layer, ...]


def plan(disk: machine_pb2.Disk, found: Found, folder: str, copied_bytes: int = 0) -> Preparation:
    """How `disk` is made. Disks are thin: a guest pauses when there is no room for what it writes.

    Args:
        folder: the launcher's own, for what is made.
        copied_bytes: the size of the disk at the source, if a live migration copies its content; else 0.

    Raises:
        UnusableImage: what was found cannot be attached.
    """
    if isinstance(found, Documents):
        path = f"{folder}/{disk.name}.iso"
        make = MakeZeros(path, copied_bytes) if copied_bytes else MakeIso(path, found.label, found.files)
        return Preparation((make,), (Layer(path, "raw"),))
    path = f"{folder}/{disk.name}.qcow2"
    if found is None:
        return Preparation((MakeEmpty(path, copied_bytes or disk.empty_disk.capacity_bytes),), (Layer(path, "qcow2"),))
    return _image(disk, found, path, copied_bytes)


def _image(disk: machine_pb2.Disk, found: OpenedImage, path: str, copied_bytes: int) -> Preparation:
    image_format, virtual_bytes = "raw", found.size_bytes
    if found.any_format:
        header = image_header(found.head, found.size_bytes)
        image_format, virtual_bytes = header.format, header.virtual_bytes
    if not virtual_bytes:
        raise UnusableImage("is empty")
    layer = Layer(found.path, image_format, found.block)
    checks = (CheckQcow2(found.path),) if image_format == "qcow2" else ()
    if is_read_only(disk) or not _is_kept(disk):
        return Preparation(checks, (layer,))
    overlay = MakeOverlay(path, layer, copied_bytes or virtual_bytes)
    return Preparation((*checks, overlay), (Layer(path, "qcow2"), layer))


def _is_kept(disk: machine_pb2.Disk) -> bool:
    """Whether the image must not be changed."""
    return disk.HasField("container_disk") or disk.image_file.ephemeral or disk.block_device.ephemeral
