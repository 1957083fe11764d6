"""Where things are in a launcher's pod: a convention among the controller, which mounts them, the handler, which names
them to the launcher, and the launcher. Pure.

Names of volumes are DNS labels (rules/volumes.py), so that none leads out of its folder.
"""

from __future__ import annotations

SOCKETS = "/var/run/kubevirt/sockets"
"""The launcher's own socket."""

PRIVATE = "/var/run/kubevirt-private"
"""What the launcher and the hypervisor write: the machine's record, overlays, sockets of consoles."""

KERNEL_BOOT = "/var/run/kubevirt/kernel-boot"
"""The kernel and initial RAM disk of kernelBoot, placed by an init container."""

KERNEL = f"{KERNEL_BOOT}/kernel"
INITRD = f"{KERNEL_BOOT}/initrd"

CONTAINER_DISKS = "/var/run/kubevirt/container-disks"
"""The program that sidecars of containerDisks run, and their sockets. 107 characters hold the longest name."""

VOLUMES = "/var/run/kubevirt/volumes"
"""Below it a folder for each volume that is mounted: claims, ConfigMaps, Secrets and their like."""

BLOCK_DEVICES = "/dev/kubevirt"
"""Below it a device node for each claim of mode Block."""

SERIAL = f"{PRIVATE}/virt-serial0"
SERIAL_LOG = f"{PRIVATE}/virt-serial0-log"
VNC = f"{PRIVATE}/virt-vnc"

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
