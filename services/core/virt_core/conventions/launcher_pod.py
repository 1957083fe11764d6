"""Paths and container names in a launcher pod. Pure.

The controller mounts the folders, the handler opens sockets in them from outside and sends paths to the launcher, and
the launcher uses them. A handler works with pods of older and newer releases, and a controller makes pods with older
launchers (virt_core/vmi/launcher_release.py): names of volumes, sockets and paths in a Machine never change, and
tests/contract compares the pods of releases.

Names of a VMI's volumes are DNS labels (rules/volumes.py), so a path cannot leave its folder.
"""

from __future__ import annotations

SOCKETS = "/var/run/kubevirt/sockets"
"""The folder of the launcher's own socket."""

PRIVATE = "/var/run/kubevirt-private"
"""Written by the launcher and the hypervisor: the machine's record, overlays, console sockets."""

KERNEL_BOOT = "/var/run/kubevirt/kernel-boot"
"""The kernel and initial RAM disk of kernelBoot, placed by a container of the user's image."""

SOCKETS_VOLUME, PRIVATE_VOLUME, KERNEL_BOOT_VOLUME = "sockets", "private", "kernel-boot"
"""emptyDir volumes of these folders. The kubelet uses the volume's name as the name of its folder on the node."""

KERNEL = f"{KERNEL_BOOT}/kernel"
INITRD = f"{KERNEL_BOOT}/initrd"

CONTAINER_DISKS = "/var/run/kubevirt/container-disks"
"""The sockets of containerDisks' containers. The longest path fits in a socket's 107 characters."""

HELPERS = "/var/run/kubevirt/helpers"
"""Static programs of the launcher's image for the pod's other containers, and a FIFO that shows them its life
(attendant.c)."""

CONTAINER_DISKS_VOLUME, HELPERS_VOLUME = "container-disks", "helpers"

VOLUMES = "/var/run/kubevirt/volumes"
"""Parent folder of all mounted volumes: claims, ConfigMaps, Secrets and similar."""

ACCESS_CREDENTIALS = "/var/run/kubevirt/access-credentials"
"""Parent folder of the mounted Secrets of accessCredentials."""

BLOCK_DEVICES = "/dev/kubevirt"
"""Parent folder of the device nodes of claims in mode Block."""

LAUNCHER_SOCKET, SERIAL_SOCKET, VNC_SOCKET = "launcher-sock", "virt-serial0", "virt-vnc"
LAUNCHER = f"{SOCKETS}/{LAUNCHER_SOCKET}"
SERIAL = f"{PRIVATE}/{SERIAL_SOCKET}"
SERIAL_LOG = f"{PRIVATE}/{SERIAL_SOCKET}-log"
VNC = f"{PRIVATE}/{VNC_SOCKET}"

COMPUTE, CONSOLE_LOG = "compute", "guest-console-log"
"""Containers of the launcher and of the serial console's log. Users pass these names to `kubectl logs`."""

KERNEL_CONTAINER = "kernel-boot"
"""The container that copies a kernel."""

VOLUME_CONTAINER = "volume"
"""Of a containerDisk's container, before the name of its volume, as in KubeVirt."""

VERBOSITY_VARIABLE = "VIRT_LAUNCHER_LOG_VERBOSITY"
"""In the environment, KubeVirt's name: what the launcher logs, 0 to 9."""

LIBVIRT_FILTERS_VARIABLE = "VIRT_LAUNCHER_LIBVIRT_LOG_FILTERS"
"""libvirt's log_filters, for libvirtd alone: the launcher's own libvirt does not know this name."""

HYPERVISOR_RECORD = "/usr/lib/kubevirt/capabilities/hypervisor.json"
"""In the launcher's image: what its QEMU and libvirt know. A plan of an upgrade reads that of other releases."""

TERMINATION_MESSAGE = "/dev/termination-log"
"""Kubernetes' default terminationMessagePath. When its pod is deleted, the launcher writes one of the next two words
there, so that the controller learns how the guest ended even if no handler runs."""

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


def credentials_folder(secret: str) -> str:
    """Where a Secret of accessCredentials is mounted."""
    return f"{ACCESS_CREDENTIALS}/{secret}"


def block_device(volume: str) -> str:
    """The device node of a claim of mode Block."""
    return f"{BLOCK_DEVICES}/{volume}"


def guest_needs(container: str) -> bool:
    """Whether a guest starts only when that container of its pod runs. Of those that a webhook has added, of a mesh for
    example, a guest knows nothing."""
    return container in (COMPUTE, KERNEL_CONTAINER) or container.startswith(VOLUME_CONTAINER)


def is_own(container: str) -> bool:
    """Whether the suite's template has the container. A webhook may add others."""
    return container == CONSOLE_LOG or guest_needs(container)


def container_disk_socket(volume: str) -> str:
    """The socket of a containerDisk's container. Its peer credentials identify the process there."""
    return f"{CONTAINER_DISKS}/{volume}.sock"


DISK_IN_USE = "another virtual machine or process uses its image"
"""How the launcher's message about a locked disk begins, after which the handler looks for the VMI that uses it."""
