"""Volumes and mounts of the launcher's container. Pure; called by pod/template.py.

Claims are mounted as file systems or attached as block devices, depending on their mode. ConfigMaps, Secrets and
similar volumes are mounted, and the launcher builds disks from them. Secrets of accessCredentials are mounted for the
launcher, too. The controller reads none of them: the content of a Secret never leaves the node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from virt_core.conventions import launcher_pod
from virt_core.vmi.spec.domain import VmiSpec
from virt_core.vmi.spec.effective import claim_of, cloud_init
from virt_core.vmi.spec.volumes import PersistentVolumeClaim, Volume

from virt_controller.pod.container_disks import container_disks
from virt_controller.pod.containers import VOLUME_PREFIX, label
from virt_controller.pod.observed import Claim

Body = dict[str, Any]
_TOKEN_SECONDS = 3600


@dataclass(slots=True)
class Mounted:
    """Volumes of the pod, and where they are in the launcher's container."""

    volumes: list[Body] = field(default_factory=list)
    mounts: list[Body] = field(default_factory=list)
    devices: list[Body] = field(default_factory=list)

    def add(self, name: str, source: Body, path: str, *, read_only: bool = False) -> None:
        """Mount a volume."""
        self.volumes.append({"name": name, **source})
        mount: Body = {"name": name, "mountPath": path}
        self.mounts.append({**mount, "readOnly": True} if read_only else mount)


def claim_names(spec: VmiSpec) -> tuple[str, ...]:
    """Names of the claims that must be read before the pod can be created."""
    return tuple(dict.fromkeys(claim.claim_name for volume in spec.volumes if (claim := claim_of(volume)) is not None))


def mounted(spec: VmiSpec, claims: Mapping[str, Claim]) -> Mounted:
    """All volumes and mounts. `claims` holds every claim of the spec by name."""
    result = Mounted()
    result.add(launcher_pod.PRIVATE_VOLUME, {"emptyDir": {}}, launcher_pod.PRIVATE)
    result.add(launcher_pod.SOCKETS_VOLUME, {"emptyDir": {}}, launcher_pod.SOCKETS)
    if spec.domain.firmware.kernel_boot is not None:
        result.add(launcher_pod.KERNEL_BOOT_VOLUME, {"emptyDir": {}}, launcher_pod.KERNEL_BOOT, read_only=True)
    if container_disks(spec):
        result.add(launcher_pod.CONTAINER_DISKS_VOLUME, {"emptyDir": {}}, launcher_pod.CONTAINER_DISKS)
    for volume in spec.volumes:
        _add(result, volume, claims)
    _add_credentials(result, spec)
    return result


def _add_credentials(result: Mounted, spec: VmiSpec) -> None:
    """Each Secret of accessCredentials once: several of them may name it. A Secret's name is no name of a pod's volume,
    so the volumes are numbered."""
    secrets = dict.fromkeys(credential.secret_name for credential in spec.access_credentials)
    for index, secret in enumerate(secrets):
        source = {"secret": {"secretName": secret}}
        folder = launcher_pod.credentials_folder(secret)
        result.add(f"access-credential-{index}", source, folder, read_only=True)


def _add(result: Mounted, volume: Volume, claims: Mapping[str, Claim]) -> None:
    claim = claim_of(volume)
    if claim is not None:
        _add_claim(result, volume, claim, claims[claim.claim_name])
    elif (source := _files(volume)) is not None:
        result.add(pod_volume(volume.name), source, launcher_pod.volume_folder(volume.name), read_only=True)
    elif (documents := cloud_init(volume)) is not None:
        for reference, kind, folder in (
            (documents.secret_ref, "userdata", launcher_pod.user_data_folder(volume.name)),
            (documents.network_data_secret_ref, "networkdata", launcher_pod.network_data_folder(volume.name)),
        ):
            if reference is not None and reference.name:
                secret = {"secret": {"secretName": reference.name}}
                result.add(pod_volume(f"{volume.name}-{kind}"), secret, folder, read_only=True)


def pod_volume(name: str) -> str:
    """The pod's name for a volume of the VMI, distinct from the names of the pod's other volumes."""
    return label(f"{VOLUME_PREFIX}{name}")


def _add_claim(result: Mounted, volume: Volume, claim: PersistentVolumeClaim, found: Claim) -> None:
    name, read_only = pod_volume(volume.name), claim.read_only or volume.ephemeral is not None
    source: Body = {"persistentVolumeClaim": {"claimName": claim.claim_name}}
    if claim.read_only:
        source["persistentVolumeClaim"]["readOnly"] = True
    if found.block:
        result.volumes.append({"name": name, **source})
        result.devices.append({"name": name, "devicePath": launcher_pod.block_device(volume.name)})
    else:
        result.add(name, source, launcher_pod.volume_folder(volume.name), read_only=read_only)


def _files(volume: Volume) -> Body | None:
    """The pod's source for a volume of which the launcher builds a disk; None for other volumes."""
    if volume.config_map is not None:
        return {"configMap": _without_defaults(name=volume.config_map.name, optional=volume.config_map.optional)}
    if volume.secret is not None:
        return {"secret": _without_defaults(secretName=volume.secret.secret_name, optional=volume.secret.optional)}
    if volume.downward_api is not None:
        return {"downwardAPI": {"items": volume.downward_api.fields}}
    if volume.service_account is not None:
        return {"projected": {"sources": _service_account()}}
    return None


def _service_account() -> list[Body]:
    """The files of an automatically mounted token. The kubelet renews the token; the disk keeps the first one."""
    certificate = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    namespace = {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}
    return [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": _TOKEN_SECONDS}},
        {"configMap": certificate},
        {"downwardAPI": namespace},
    ]


def _without_defaults(**values: object) -> Body:
    return {key: value for key, value in values.items() if value is not None}
