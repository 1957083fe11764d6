"""Finds the source of a disk. Called by prepare.py in a thread, because a network file system may hang.

Claims may be shared with other pods and are as hostile as images. Mounts of ConfigMaps and Secrets contain links, but
only the kubelet writes them; the user controls only the names.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from kubevirt.launcher.v1 import machine_pb2

from virt_launcher.credentials.plan import public_keys, summary
from virt_launcher.credentials.secret_files import read_secret
from virt_launcher.errors import UnusableSecret
from virt_launcher.storage.access import is_read_only
from virt_launcher.storage.container_files import open_image
from virt_launcher.storage.documents import NETWORK_DATA_KEYS, USER_DATA_KEYS, cloud_init
from virt_launcher.storage.image_header import HEADER_BYTES, UnusableImage
from virt_launcher.storage.plan import Documents, Found, OpenedImage

# ConfigMaps and Secrets hold 1 MiB each; a projected volume has several.
_MOST_DOCUMENT_BYTES = 8 << 20
_MODE = 0o660  # the pod's fsGroup may write, as in KubeVirt

Hold = Callable[[int], int]
"""Keeps a descriptor open as long as the disk's path is needed."""


def described(disk: machine_pb2.Disk) -> str:
    """The image's name in messages, before it is found."""
    match disk.WhichOneof("source"):
        case "image_file":
            return disk.image_file.path
        case "block_device":
            return disk.block_device.path
        case "folder":
            return disk.folder.path
        case "cloud_init":
            return "its data source"
        case "empty_disk":
            return "the empty disk"
    return "its image"


def find(disk: machine_pb2.Disk, container_pid: int, hold: Hold) -> tuple[str, Found]:
    """The image's name in messages, and the source.

    Raises:
        UnusableImage: the source does not exist or is invalid.
    """
    if disk.HasField("container_disk"):
        return _container_disk(disk.container_disk, container_pid, hold)
    return described(disk), _found(disk, hold)


def _found(disk: machine_pb2.Disk, hold: Hold) -> Found:
    match disk.WhichOneof("source"):
        case "image_file":
            return _image_file(disk, hold)
        case "block_device":
            return _block_device(disk, hold)
        case "cloud_init":
            source = disk.cloud_init
            user_data = _document(source.user_data, source.user_data_folder, USER_DATA_KEYS)
            network_data = _document(source.network_data, source.network_data_folder, NETWORK_DATA_KEYS)
            return cloud_init(source, user_data, network_data, _public_keys(source.public_key_folders))
        case "folder":
            return Documents(dict(_files(Path(disk.folder.path))), disk.folder.volume_label)
    return None


def _container_disk(source: machine_pb2.ContainerDisk, pid: int, hold: Hold) -> tuple[str, OpenedImage]:
    descriptor, path = open_image(pid, source.path)
    head, size = os.pread(hold(descriptor), HEADER_BYTES, 0), os.fstat(descriptor).st_size
    return path, OpenedImage(_reopened(descriptor), size, head, any_format=True)


def _image_file(disk: machine_pb2.Disk, hold: Hold) -> OpenedImage:
    """Open or create the file in place, without rename: another pod with the same claim may have written to it."""
    source = disk.image_file
    folder, name = os.path.split(source.path)
    at = hold(os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    writes = not is_read_only(disk) and not source.ephemeral
    flags = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_RDWR if writes or source.create_bytes else os.O_RDONLY)
    try:
        descriptor = hold(os.open(name, flags | (os.O_CREAT if source.create_bytes else 0), _MODE, dir_fd=at))
    except OSError as error:
        raise UnusableImage(f"cannot be opened: {_reason(name, at) or error.strerror}") from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise UnusableImage("is not a regular file")
    if not found.st_size and source.create_bytes:
        _make_sparse(descriptor, source.create_bytes)
    return OpenedImage(_reopened(descriptor), os.fstat(descriptor).st_size)


def _make_sparse(descriptor: int, size: int) -> None:
    os.fchmod(descriptor, _MODE)
    os.ftruncate(descriptor, size)


def _block_device(disk: machine_pb2.Disk, hold: Hold) -> OpenedImage:
    source = disk.block_device
    writes = not is_read_only(disk) and not source.ephemeral
    try:
        descriptor = hold(os.open(source.path, (os.O_RDWR if writes else os.O_RDONLY) | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as error:
        raise UnusableImage(f"cannot be opened: {error.strerror}") from error
    if not stat.S_ISBLK(os.fstat(descriptor).st_mode):
        raise UnusableImage("is not a block device")
    # Only the kubelet can replace a device node, so its path is safe.
    return OpenedImage(source.path, os.lseek(descriptor, 0, os.SEEK_END), block=True)


def _document(inline: bytes, folder: str, keys: tuple[str, ...]) -> bytes:
    if inline or not folder:
        return inline
    for key in keys:
        try:
            return _bounded(Path(folder) / key, _MOST_DOCUMENT_BYTES)
        except FileNotFoundError:
            continue
    raise UnusableImage(f"lacks a document: the Secret at {folder} has no key {' or '.join(keys)}")


def _public_keys(folders: Iterable[str]) -> list[str]:
    keys: list[str] = []
    for folder in folders:
        try:
            found, problems = public_keys(folder, read_secret(folder))
        except UnusableSecret as error:
            raise UnusableImage(f"lacks public keys: {error}") from error
        if problems:
            raise UnusableImage(f"lacks public keys: {summary(problems)}")
        keys += found
    return list(dict.fromkeys(keys))


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The files in the folder, except names that begin with two dots, which are the kubelet's."""
    left = _MOST_DOCUMENT_BYTES
    for top in sorted(folder.iterdir()):
        if top.name.startswith(".."):
            continue
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file():
                content = _bounded(path, left)
                left -= len(content)
                yield str(path.relative_to(folder)), content


def _bounded(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise UnusableImage(f"is too large: more than {_MOST_DOCUMENT_BYTES} bytes of documents, at {path}")
    return content


def _reason(name: str, at: int) -> str:
    """The reason for a link, whose system error is "too many levels of symbolic links"."""
    try:
        return "it is a symbolic link" if stat.S_ISLNK(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode) else ""
    except OSError:
        return ""


def _reopened(descriptor: int) -> str:
    return f"/proc/{os.getpid()}/fd/{descriptor}"
