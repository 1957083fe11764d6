"""Where things are in a launcher's pod. Pure.

The controller mounts folders, the handler opens sockets in them from outside and names paths to the launcher, and the
launcher uses them. The controller and the launcher of a pod are of one release, but a handler meets pods of older and
newer releases: what it reads there (volumes, sockets, paths in a Machine) never changes its name.

Names of a VMI's volumes are DNS labels (rules/volumes.py), so that none leads out of its folder.
"""

from __future__ import annotations

SOCKETS = "/var/run/kubevirt/sockets"
"""The folder of the launcher's own socket."""

PRIVATE = "/var/run/kubevirt-private"
"""What the launcher and the hypervisor write: the machine's record, overlays, sockets of consoles."""

KERNEL_BOOT = "/var/run/kubevirt/kernel-boot"
"""The kernel and initial RAM disk of kernelBoot, placed by an init container."""

SOCKETS_VOLUME, PRIVATE_VOLUME, KERNEL_BOOT_VOLUME = "sockets", "private", "kernel-boot"
"""emptyDirs of these folders; the kubelet keeps each in a folder of its name."""

KERNEL = f"{KERNEL_BOOT}/kernel"
INITRD = f"{KERNEL_BOOT}/initrd"

CONTAINER_DISKS = "/var/run/kubevirt/container-disks"
"""The program that sidecars of containerDisks run, and their sockets. 107 characters hold the longest name."""

CONTAINER_DISKS_VOLUME = "container-disks"

VOLUMES = "/var/run/kubevirt/volumes"
"""Below it a folder for each volume that is mounted: claims, ConfigMaps, Secrets and their like."""

BLOCK_DEVICES = "/dev/kubevirt"
"""Below it a device node for each claim of mode Block."""

LAUNCHER_SOCKET, SERIAL_SOCKET, VNC_SOCKET = "launcher-sock", "virt-serial0", "virt-vnc"
LAUNCHER = f"{SOCKETS}/{LAUNCHER_SOCKET}"
SERIAL = f"{PRIVATE}/{SERIAL_SOCKET}"
SERIAL_LOG = f"{PRIVATE}/{SERIAL_SOCKET}-log"
VNC = f"{PRIVATE}/{VNC_SOCKET}"

COMPUTE, CONSOLE_LOG = "compute", "guest-console-log"
"""Containers of the launcher and of the serial console's log, which users name to `kubectl logs`."""

TERMINATION_MESSAGE = "/dev/termination-log"
"""Kubernetes' default terminationMessagePath. A launcher whose pod is deleted leaves one of the next two words there,
so that the controller knows how the guest ended, whether or not a handler watched."""

GUEST_SHUTDOWN = "GuestShutdown"
GUEST_DESTROYED = "GuestDestroyed"


def volume_folder(volume: str) -> str:
    """Where the volume is mounted."""
    return f"{VOLUMES}/{volume}"


def user_data_folder(volume: str) -> str:
    """Where the Secret with a cloud-init volume's user data is mounted."""
    return f"{VOLUMES}/{volume}/userdata"


def network_data_folder(volume: str) -> str:
    """Where the Secret with a cloud-init volume's network data is mounted."""
    return f"{VOLUMES}/{volume}/networkdata"


def block_device(volume: str) -> str:
    """The device node of a claim of mode Block."""
    return f"{BLOCK_DEVICES}/{volume}"


def container_disk_socket(volume: str) -> str:
    """On which the sidecar of a containerDisk tells which process it is."""
    return f"{CONTAINER_DISKS}/{volume}.sock"
