"""The containers behind containerDisks. Pure; called by pod/template.py.

The user's image holds a disk image and perhaps nothing else, so an init container lends a static program which then
runs as the only program of a sidecar of that image, and waits. The launcher, of the same user and in the same PID
namespace, reads the disk image through /proc. A sidecar is an init container that is restarted always: the kubelet
ends it when the launcher has ended, so that the pod completes.
"""

from __future__ import annotations

from typing import Any

from virt_core.conventions.launcher_pod import CONTAINER_DISKS, CONTAINER_DISKS_VOLUME, container_disk_socket
from virt_core.vmi.spec.domain import VmiSpec
from virt_core.vmi.spec.volumes import ContainerDisk, Volume

from virt_controller.pod.containers import IDLE, SMALL, LauncherSettings, label, restricted

_PROGRAM = f"{CONTAINER_DISKS}/container-disk"


def container_disks(spec: VmiSpec) -> tuple[tuple[Volume, ContainerDisk], ...]:
    """The volumes that are containerDisks."""
    return tuple((volume, volume.container_disk) for volume in spec.volumes if volume.container_disk is not None)


def container_disk_containers(spec: VmiSpec, launcher: LauncherSettings) -> list[dict[str, Any]]:
    """The init container that lends the program, then a sidecar for each containerDisk; none without one."""
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
        "name": label(f"volume{name}"),  # KubeVirt's name of it
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
