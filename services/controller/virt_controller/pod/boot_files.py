"""The container that copies a kernel from the user's image, which may contain nothing else. Pure; called by
pod/template.py."""

from __future__ import annotations

from typing import Any

from virt_core.conventions.launcher_pod import (
    INITRD,
    KERNEL,
    KERNEL_BOOT,
    KERNEL_BOOT_VOLUME,
    KERNEL_CONTAINER,
)
from virt_core.vmi.spec.domain import KernelBootContainer

from virt_controller.pod.containers import attended

_MOUNT = {"name": KERNEL_BOOT_VOLUME, "mountPath": KERNEL_BOOT}


def boot_file_container(boot: KernelBootContainer) -> dict[str, Any]:
    """It stays when it has copied: with a container that has ended, a pod is not Ready."""
    command = ["boot-files", boot.kernel_path, KERNEL]
    if boot.initrd_path:
        command += [boot.initrd_path, INITRD]
    return attended(KERNEL_CONTAINER, (boot.image, boot.image_pull_policy), command, _MOUNT, once=True)
