"""The init containers that copy a kernel from the user's image. Pure; called by pod/template.py."""

from __future__ import annotations

from typing import Any

from virt_core.conventions.launcher_pod import INITRD, KERNEL, KERNEL_BOOT, KERNEL_BOOT_VOLUME
from virt_core.vmi.spec.domain import KernelBootContainer

from virt_controller.pod.containers import SMALL, LauncherSettings, restricted

KERNEL_CONTAINER = "kernel-boot"
"""The container of the user's image."""

_BOOT_FILES = f"{KERNEL_BOOT}/boot-files"


def boot_file_containers(boot: KernelBootContainer, launcher: LauncherSettings) -> list[dict[str, Any]]:
    """Two init containers: the first copies a static program for the second, which runs it in the user's image. That
    image may contain nothing but a kernel."""
    place = [_BOOT_FILES, "place", boot.kernel_path, KERNEL]
    if boot.initrd_path:
        place += [boot.initrd_path, INITRD]
    mount = {"name": KERNEL_BOOT_VOLUME, "mountPath": KERNEL_BOOT}
    user: dict[str, Any] = {
        "name": KERNEL_CONTAINER,
        "image": boot.image,
        "command": place,
        "securityContext": restricted(),
        "resources": SMALL,
        "volumeMounts": [mount],
    }
    if boot.image_pull_policy:
        user["imagePullPolicy"] = boot.image_pull_policy
    return [
        {
            "name": "boot-files",
            "image": launcher.image,
            "imagePullPolicy": launcher.pull_policy,
            "command": ["/usr/lib/kubevirt/boot-files", "install", _BOOT_FILES],
            "securityContext": restricted(),
            "resources": SMALL,
            "volumeMounts": [mount],
        },
        user,
    ]
