"""The launcher pod of a VirtualMachineInstance. Pure; called by plan.py.

The pod is what a namespace enforcing PodSecurity "restricted" admits: uid 107, nothing privileged, no API token. Its
name follows from the VMI's UID, so creating it twice is impossible and asking for it needs no list.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from virt_core.api import labels
from virt_core.api.kubevirt import Configuration
from virt_core.api.launcher_pod import KERNEL_BOOT, PRIVATE, SOCKETS
from virt_core.api.quantity import parse_bytes
from virt_core.api.vmi import VirtualMachineInstance
from virt_core.api.vmi_rules import check_spec, effective_interfaces, effective_topology, guest_memory_bytes
from virt_core.api.vmi_spec import KernelBootContainer, VmiSpec

_MI = 1 << 20
# Memory besides the guest's own, measured as PSS with four VMs on a node (make bench), with room for one in ten:
_LAUNCHER_OVERHEAD = 64 * _MI  # supervisor, Python launcher, session libvirtd
_QEMU_OVERHEAD = 64 * _MI  # QEMU besides guest memory under emulation, firmware and devices
_EMULATION_OVERHEAD = 64 * _MI  # translated code, the launcher's TRANSLATION_CACHE_MIB
_VCPU_OVERHEAD = 8 * _MI  # each vCPU's thread and translation buffers
_PAGE_TABLE_SHARE = 512  # one 512th of guest memory: 8 bytes for each page of 4 KiB

_CPU_REQUEST_MILLI = 100  # for each vCPU, KubeVirt's cpuAllocationRatio of 10
_SHUTDOWN_MARGIN = 30  # seconds beyond the guest's own grace period before the kubelet kills, as in KubeVirt

_BOOT_FILES = f"{KERNEL_BOOT}/boot-files"


@dataclass(frozen=True, slots=True)
class LauncherSettings:
    """The release's launcher."""

    image: str
    pull_policy: str
    pull_secrets: tuple[str, ...] = ()


def pod_name(vmi: VirtualMachineInstance) -> str:
    """ "virt-launcher-", the VMI's name (cut so that the result is a host name) and five characters of its UID."""
    suffix = hashlib.sha256(vmi.metadata.uid.encode()).hexdigest()[:5]
    return f"virt-launcher-{vmi.metadata.name[:43].rstrip('.-')}-{suffix}"


def launcher_pod(
    vmi: VirtualMachineInstance, spec: VmiSpec, launcher: LauncherSettings, configuration: Configuration
) -> dict[str, Any]:
    """The pod's manifest.

    Raises:
        UnsupportedSpec: no launcher could run this spec.
    """
    check_spec(spec, configuration)
    meta = vmi.metadata
    boot = spec.domain.firmware.kernel_boot
    pod_spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": spec.termination_grace_period_seconds + _SHUTDOWN_MARGIN,
        "hostname": (spec.hostname or meta.name.replace(".", "-"))[:63].rstrip("-"),
        "nodeSelector": {"kubernetes.io/arch": "amd64", **spec.node_selector},
        "tolerations": spec.tolerations,
        "affinity": spec.affinity,
        "priorityClassName": spec.priority_class_name,
        "schedulerName": spec.scheduler_name,
        "securityContext": {
            "runAsUser": labels.LAUNCHER_UID,
            "runAsGroup": labels.LAUNCHER_UID,
            "fsGroup": labels.LAUNCHER_UID,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            # The launcher answers the guest's DHCP requests, on port 67, without a capability.
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
        },
        "volumes": [{"name": name, "emptyDir": {}} for name in ("private", "sockets", "kernel-boot")],
        "containers": [_compute(spec, launcher, configuration)],
        "imagePullSecrets": [{"name": name} for name in launcher.pull_secrets],
    }
    if boot is not None and boot.container is not None:
        pod_spec["initContainers"] = _place_boot_files(boot.container, launcher)
        if boot.container.image_pull_secret:
            pod_spec["imagePullSecrets"] += [{"name": boot.container.image_pull_secret}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(vmi),
            "namespace": meta.namespace,
            # The VMI's own labels come first: ours are what the suite selects by.
            "labels": {
                **meta.labels,
                labels.APP: "virt-launcher",
                labels.CREATED_BY: meta.uid,
                "vm.kubevirt.io/name": meta.name[:63].rstrip(".-"),
            },
            "annotations": {labels.DOMAIN: meta.name, "kubevirt.io/launcher-image": launcher.image},
            "ownerReferences": [
                {
                    "apiVersion": "kubevirt.io/v1",
                    "kind": "VirtualMachineInstance",
                    "name": meta.name,
                    "uid": meta.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {key: value for key, value in pod_spec.items() if value not in ("", [], {})},
    }


def _compute(spec: VmiSpec, launcher: LauncherSettings, configuration: Configuration) -> dict[str, Any]:
    return {
        "name": "compute",
        "image": launcher.image,
        "imagePullPolicy": launcher.pull_policy,
        "securityContext": _restricted(),
        "resources": _resources(spec, configuration),
        "volumeMounts": [
            {"name": "private", "mountPath": PRIVATE},
            {"name": "sockets", "mountPath": SOCKETS},
            {"name": "kernel-boot", "mountPath": KERNEL_BOOT, "readOnly": True},
        ],
    }


def _place_boot_files(boot: KernelBootContainer, launcher: LauncherSettings) -> list[dict[str, Any]]:
    """Two init containers: the first lends a static program to the second, which is the user's image and may hold
    nothing but a kernel."""
    place = [_BOOT_FILES, "place", boot.kernel_path, f"{KERNEL_BOOT}/kernel"]
    if boot.initrd_path:
        place += [boot.initrd_path, f"{KERNEL_BOOT}/initrd"]
    mount = {"name": "kernel-boot", "mountPath": KERNEL_BOOT}
    small = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}}
    user: dict[str, Any] = {
        "name": "kernel-boot",
        "image": boot.image,
        "command": place,
        "securityContext": _restricted(),
        "resources": small,
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
            "securityContext": _restricted(),
            "resources": small,
            "volumeMounts": [mount],
        },
        user,
    ]


def _resources(spec: VmiSpec, configuration: Configuration) -> dict[str, Any]:
    vcpus = effective_topology(spec).vcpus
    guest = guest_memory_bytes(spec)
    emulated = configuration.developer_configuration.use_emulation
    overhead = _LAUNCHER_OVERHEAD + _QEMU_OVERHEAD + vcpus * _VCPU_OVERHEAD + guest // _PAGE_TABLE_SHARE
    overhead += _EMULATION_OVERHEAD if emulated else 0
    requests: dict[str, Any] = {"cpu": f"{vcpus * _CPU_REQUEST_MILLI}m", **spec.domain.resources.requests}
    memory = max(guest, parse_bytes(str(requests.get("memory", "0"))))
    requests["memory"] = str(memory + overhead)
    limits: dict[str, Any] = dict(spec.domain.resources.limits)
    if "memory" in limits:
        limits["memory"] = str(parse_bytes(str(limits["memory"])) + overhead)
    devices = {}
    if effective_interfaces(spec):
        devices["devices.kubevirt.io/tun"] = "1"
    if not emulated:
        devices["devices.kubevirt.io/kvm"] = "1"
    return {"requests": {**requests, **devices}, "limits": {**limits, **devices}}


def _restricted() -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
    }
