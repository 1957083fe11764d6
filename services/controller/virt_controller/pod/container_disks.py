"""The containers behind containerDisks. Pure; called by pod/template.py.

The user's image may contain nothing but a disk image. So an init container provides a static program, which runs as the
only program of a sidecar of that image and waits. The launcher, with the same uid and in the same PID namespace, reads
the disk image through /proc. A sidecar is an init container with restartPolicy Always: the kubelet stops it when the
launcher has ended, so that the pod completes.
"""

from __future__ import annotations

from typing import Any

from virt_core.conventions.launcher_pod import CONTAINER_DISKS, CONTAINER_DISKS_VOLUME, container_disk_socket
from virt_core.vmi.spec.domain import VmiSpec
from virt_core.vmi.spec.volumes import ContainerDisk, Volume

from virt_controller.pod.containers import IDLE, SMALL, VOLUME_SIDECAR, LauncherSettings, label, restricted

_PROGRAM = f"{CONTAINER_DISKS}/container-disk"


def container_disks(spec: VmiSpec) -> tuple[tuple[Volume, ContainerDisk], ...]:
    """The volumes that are containerDisks."""
    return tuple((volume, volume.container_disk) for volume in spec.volumes if volume.container_disk is not None)


def container_disk_containers(spec: VmiSpec, launcher: LauncherSettings) -> list[dict[str, Any]]:
    """The init container that provides the program, then a sidecar per containerDisk; empty without containerDisks."""
    disks = container_disks(spec)
    if not disks:
        return []
    lend = {
        "name": "container-disk-program",
        "image": launcher.image,
        "imagePullPolicy": launcher.pull_policy,
        "command": ["/usr/lib/kubevirt/container-disk", "install", _PROGRAM],
        "securityContext": restricted(),
        "resources": SMALL,
        "volumeMounts": [{"name": CONTAINER_DISKS_VOLUME, "mountPath": CONTAINER_DISKS}],
    }
    return [lend, *(_sidecar(volume.name, disk) for volume, disk in disks)]


def _sidecar(name: str, disk: ContainerDisk) -> dict[str, Any]:
    sidecar: dict[str, Any] = {
        "name": label(f"{VOLUME_SIDECAR}{name}"),
        "image": disk.image,
        "command": [_PROGRAM, "serve", container_disk_socket(name)],
        "restartPolicy": "Always",
        "securityContext": restricted(),
        "resources": IDLE,
        "volumeMounts": [{"name": CONTAINER_DISKS_VOLUME, "mountPath": CONTAINER_DISKS}],
    }
    if disk.image_pull_policy:
        sidecar["imagePullPolicy"] = disk.image_pull_policy
    return sidecar
