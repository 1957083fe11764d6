"""The containers behind containerDisks. Pure; called by pod/template.py.

The user's image may contain nothing but a disk image. So static programs of the launcher's image run there, and wait.
The launcher, with the same uid and in the same PID namespace, reads the disk image through /proc.
"""

from __future__ import annotations

from typing import Any

from virt_core.conventions.launcher_pod import (
    CONTAINER_DISKS,
    CONTAINER_DISKS_VOLUME,
    VOLUME_CONTAINER,
    container_disk_socket,
)
from virt_core.vmi.spec.domain import VmiSpec
from virt_core.vmi.spec.volumes import ContainerDisk, Volume

from virt_controller.pod.containers import attended, label

_MOUNT = {"name": CONTAINER_DISKS_VOLUME, "mountPath": CONTAINER_DISKS}


def container_disks(spec: VmiSpec) -> tuple[tuple[Volume, ContainerDisk], ...]:
    """The volumes that are containerDisks."""
    return tuple((volume, volume.container_disk) for volume in spec.volumes if volume.container_disk is not None)


def container_disk_containers(spec: VmiSpec) -> list[dict[str, Any]]:
    """A container per containerDisk."""
    return [
        attended(
            label(f"{VOLUME_CONTAINER}{volume.name}"),
            (disk.image, disk.image_pull_policy),
            ["container-disk", container_disk_socket(volume.name)],
            _MOUNT,
        )
        for volume, disk in container_disks(spec)
    ]
