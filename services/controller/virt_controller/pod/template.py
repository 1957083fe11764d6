"""The launcher pod of a VirtualMachineInstance. Pure; called by vmi/creation.py and migration/target.py.

A namespace that enforces PodSecurity "restricted" admits the pod: uid 107, no privileges, no API token. Its name
follows from the VMI's UID, so it cannot be created twice and can be read without a list. Its parts are in
pod/volumes.py, pod/container_disks.py, pod/boot_files.py, pod/resources.py and pod/probes.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from virt_core.conventions import components, labels
from virt_core.conventions.launcher_pod import (
    COMPUTE,
    CONSOLE_LOG,
    HELPERS,
    HELPERS_VOLUME,
    LIBVIRT_FILTERS_VARIABLE,
    PRIVATE,
    PRIVATE_VOLUME,
    SERIAL_LOG,
    VERBOSITY_VARIABLE,
)
from virt_core.conventions.verbosity import DEFAULT
from virt_core.objects.kubevirt import Configuration
from virt_core.vmi.accepted import AcceptedSpec
from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.log_settings import log_settings
from virt_core.vmi.spec.domain import VmiSpec
from virt_core.vmi.spec.effective import claim_of, guest_hostname

from virt_controller.pod.boot_files import boot_file_container
from virt_controller.pod.container_disks import container_disk_containers, container_disks
from virt_controller.pod.containers import PROGRAMS, LauncherSettings, attended, installs_helpers, restricted
from virt_controller.pod.limits import Limits, with_limits
from virt_controller.pod.observed import Claim
from virt_controller.pod.probes import probes
from virt_controller.pod.resources import guaranteed, is_guaranteed, resources
from virt_controller.pod.volumes import mounted

SHUTDOWN_MARGIN = 30  # seconds that the kubelet waits beyond the guest's grace period before it kills, as in KubeVirt
VOLUME_STATUS = "kubevirt.io/volume-status"
"""On launcher pods: state of the claims at the pod's creation, as JSON of the VMI's status.volumeStatus."""

LAUNCHER_IMAGE = "kubevirt.io/launcher-image"
"""On launcher pods: the launcher's image, for the VMI's status.launcherContainerImageVersion."""

_OWN_ANNOTATIONS = frozenset(
    {
        labels.DOMAIN,
        LAUNCHER_IMAGE,
        VOLUME_STATUS,
        labels.LAUNCHER_RELEASE,
        # KubeVirt's own bookkeeping on VMIs, which KubeVirt does not copy either.
        "kubevirt.io/latest-observed-api-version",
        "kubevirt.io/storage-observed-api-version",
    }
)
_FILESYSTEM_OVERHEAD = "0.055"  # KubeVirt's default share of a claim for the file system's own data


def pod_name(vmi: VirtualMachineInstance) -> str:
    """The name of the VMI's first pod."""
    return name_of_pod(vmi.metadata.name, vmi.metadata.uid)


def name_of_pod(vmi_name: str, uid: str) -> str:
    """The VMI's name, cut so that the result is a host name, and five characters of the digest of `uid`."""
    return f"{components.LAUNCHER}-{vmi_name[:43].rstrip('.-')}-{hashlib.sha256(uid.encode()).hexdigest()[:5]}"


def launcher_pod(
    vmi: VirtualMachineInstance,
    accepted: AcceptedSpec,
    launcher: LauncherSettings,
    configuration: Configuration,
    claims: Mapping[str, Claim],
    *,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """The pod's manifest. `claims` holds every claim of the spec by name. `limits` are those that the namespace
    requires.
    """
    meta, spec = vmi.metadata, accepted.spec
    mounts = mounted(spec, claims)
    boot = spec.domain.firmware.kernel_boot
    secrets = [*launcher.pull_secrets, *(disk.image_pull_secret for _, disk in container_disks(spec))]
    beside = container_disk_containers(spec)
    if boot is not None and boot.container is not None and boot.container.kernel_path:
        beside.append(boot_file_container(boot.container))
        secrets.append(boot.container.image_pull_secret)
    if spec.domain.devices.log_serial_console:
        beside.append(_console_log(launcher))
    if beside:
        mounts.add(HELPERS_VOLUME, {"emptyDir": {}}, HELPERS)
    requirements = resources(accepted, configuration)
    if limits is not None:
        others = [container["resources"] for container in beside]
        requirements = with_limits(requirements, accepted.topology.vcpus, limits, others)
    if is_guaranteed(requirements):
        beside = [{**container, "resources": guaranteed(container["resources"])} for container in beside]
    compute = {
        "name": COMPUTE,
        "image": launcher.image,
        "imagePullPolicy": launcher.pull_policy,
        "securityContext": restricted(),
        "resources": requirements,
        "env": _environment(vmi, spec, configuration),
        "volumeMounts": mounts.mounts,
        "volumeDevices": mounts.devices,
        "ports": _ports(accepted),
        "lifecycle": installs_helpers() if beside else None,
        **probes(spec),
    }
    pod_spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "serviceAccountName": _service_account(spec),
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": spec.termination_grace_period_seconds + SHUTDOWN_MARGIN,
        "hostname": guest_hostname(meta.name, spec),
        "subdomain": spec.subdomain,
        "dnsPolicy": spec.dns_policy,
        "dnsConfig": spec.dns_config,
        # Only nodes whose handler recently reported that it can run VMs.
        "nodeSelector": {"kubernetes.io/arch": "amd64", **spec.node_selector, labels.SCHEDULABLE: "true"},
        "tolerations": spec.tolerations,
        "affinity": spec.affinity,
        "topologySpreadConstraints": spec.topology_spread_constraints,
        "priorityClassName": spec.priority_class_name,
        "schedulerName": spec.scheduler_name,
        # The launcher reads a containerDisk through /proc of its container.
        "shareProcessNamespace": True if container_disks(spec) else None,
        "securityContext": {
            "runAsUser": labels.LAUNCHER_UID,
            "runAsGroup": labels.LAUNCHER_UID,
            "fsGroup": labels.LAUNCHER_UID,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            # The launcher answers the guest's DHCP requests on port 67 without a capability.
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
        },
        "volumes": mounts.volumes,
        # No init containers: the kubelet notices up to a second later that one has ended or runs.
        "containers": [_without_empty(compute), *beside],
        "imagePullSecrets": [{"name": name} for name in dict.fromkeys(secrets) if name],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(vmi, spec, launcher, claims),
        "spec": _without_empty(pod_spec),
    }


def _environment(vmi: VirtualMachineInstance, spec: VmiSpec, configuration: Configuration) -> list[dict[str, str]]:
    """What the launcher and libvirtd log, where it is not the default."""
    cluster = configuration.developer_configuration.log_verbosity.virt_launcher
    labelled, annotated = vmi.metadata.labels, vmi.metadata.annotations
    found = log_settings(labelled, annotated, cluster, has_credentials=bool(spec.access_credentials))
    number = "" if found.verbosity == DEFAULT else str(found.verbosity)
    values = {VERBOSITY_VARIABLE: number, LIBVIRT_FILTERS_VARIABLE: found.libvirt_filters}
    return [{"name": name, "value": value} for name, value in values.items() if value]


def _metadata(
    vmi: VirtualMachineInstance, spec: VmiSpec, launcher: LauncherSettings, claims: Mapping[str, Claim]
) -> dict[str, Any]:
    meta = vmi.metadata
    annotations = {key: value for key, value in meta.annotations.items() if _travels(key)}
    annotations |= {labels.DOMAIN: meta.name, LAUNCHER_IMAGE: launcher.image}
    if status := _volume_status(spec, claims):
        annotations[VOLUME_STATUS] = msgspec.json.encode(status).decode()
    return {
        "name": pod_name(vmi),
        "namespace": meta.namespace,
        # The suite's labels override the VMI's, because the suite selects by them.
        "labels": {
            **meta.labels,
            labels.APP: components.LAUNCHER,
            labels.CREATED_BY: meta.uid,
            labels.VMI_ID: labels.vmi_id(meta.name),
            "vm.kubevirt.io/name": meta.name[:63].rstrip(".-"),
        },
        "annotations": annotations,
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
    }


def _travels(annotation: str) -> bool:
    """Whether an annotation of the VMI is copied to its pod, for meshes, autoscalers and CNIs."""
    return not annotation.startswith("kubectl.kubernetes.io/") and annotation not in _OWN_ANNOTATIONS


def _volume_status(spec: VmiSpec, claims: Mapping[str, Claim]) -> list[dict[str, Any]]:
    """Information about claims for the handler, which does not read claims itself."""
    result = []
    for volume in spec.volumes:
        claim = claim_of(volume)
        if claim is not None:
            info = claims[claim.claim_name].info(claim.claim_name, _FILESYSTEM_OVERHEAD)
            result.append({"name": volume.name, "target": "", "persistentVolumeClaimInfo": info})
    return result


def _service_account(spec: VmiSpec) -> str:
    """The service account whose token is on a disk. The pod does not mount its token otherwise."""
    named = (
        volume.service_account.service_account_name for volume in spec.volumes if volume.service_account is not None
    )
    return next(named, "")


def _ports(spec: AcceptedSpec) -> list[dict[str, Any]]:
    """The ports of the interfaces, so that Services and probes can refer to them by name."""
    ports = (port for interface in spec.interfaces for port in interface.ports)
    named = ({"name": port.name, "containerPort": port.port, "protocol": port.protocol or "TCP"} for port in ports)
    return [_without_empty(port) for port in named]


def _console_log(launcher: LauncherSettings) -> dict[str, Any]:
    """A container whose log is the guest's serial console: ``kubectl logs POD -c guest-console-log``. It removes copied
    output from QEMU's file, so that the file stays small."""
    mount = {"name": PRIVATE_VOLUME, "mountPath": PRIVATE}
    image = launcher.image, launcher.pull_policy
    return attended(CONSOLE_LOG, image, ["console-log", SERIAL_LOG], mount, programs=PROGRAMS)


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    """`fields` without empty values, for which Kubernetes has defaults."""
    return {key: value for key, value in fields.items() if value not in (None, "", [], {})}
