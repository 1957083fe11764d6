"""Checks the header of an image. Pure; called by plan.py.

A user's image is hostile: a qcow2 may name other files, which the hypervisor would open. So the header is checked here
before any program of QEMU opens the image. Offsets: docs/interop/qcow2.txt of QEMU.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEADER_BYTES = 104
"""The number of bytes to read: the complete header of version 3."""

_QCOW2_MAGIC = b"QFI\xfb"
_QCOW2 = struct.Struct(">4xIQIIQI")  # version, backing file's offset and length, cluster bits, size, encryption
_INCOMPATIBLE_AT = 72
_CORRUPT, _EXTERNAL_DATA = 1 << 1, 1 << 2
_OTHERS = {
    b"KDMV": "vmdk",
    b"# Disk DescriptorFile": "vmdk",
    b"vhdxfile": "vhdx",
    b"conectix": "vpc",
    b"<<< ": "vdi",
    b"QED\0": "qed",
    b"LUKS\xba\xbe": "luks",
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


class UnusableImage(Exception):
    """The image cannot be attached. The message continues a sentence that begins with the image's name."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Format and virtual size."""

    format: str
    virtual_bytes: int


def image_header(head: bytes, file_bytes: int) -> ImageHeader:
    """Check an image of `file_bytes` that begins with `head`.

    Raises:
        UnusableImage: it is empty, has another format, is marked corrupt, or refers to other files.
    """
    if not file_bytes:
        raise UnusableImage("is empty")
    if head.startswith(_QCOW2_MAGIC):
        return ImageHeader("qcow2", _qcow2_size(head))
    for magic, name in _OTHERS.items():
        if head.startswith(magic):
            raise UnusableImage(f"is of format {name}, use raw or qcow2")
    return ImageHeader("raw", file_bytes)


def _qcow2_size(head: bytes) -> int:
    if len(head) < HEADER_BYTES:
        raise UnusableImage("is a corrupt qcow2: it ends within its header")
    version, backing_at, _length, _cluster_bits, size, encryption = _QCOW2.unpack_from(head)
    (incompatible,) = struct.unpack_from(">Q", head, _INCOMPATIBLE_AT) if version == 3 else (0,)
    wrong = {
        f"is a corrupt qcow2: version {version}, use 2 or 3": version not in (2, 3),
        "has a backing file, use an image without one": backing_at,
        "has an external data file, use an image without one": incompatible & _EXTERNAL_DATA,
        "is encrypted, use an image that is not": encryption,
        "is a corrupt qcow2: it is marked so": incompatible & _CORRUPT,
        "is a qcow2 of no size": not size,
    }
    for reason, true in wrong.items():
        if true:
            raise UnusableImage(reason)
    return int(size)
