"""The pod to which a guest migrates. Pure; called by migration/target.py.

It is the pod that the VirtualMachineInstance would have today (template.py), with the differences of KubeVirt's target
pods: images by the digests that the guest runs with, another node than the source's, and a readiness gate that is true
when the guest is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from virt_core.conventions import labels, migration
from virt_core.conventions.launcher_pod import KERNEL_CONTAINER, VOLUME_CONTAINER
from virt_core.migration.migration import VirtualMachineInstanceMigration

from virt_controller.pod.observed import LauncherPod
from virt_controller.pod.template import name_of_pod

_HOST = "kubernetes.io/hostname"
_DIGEST = "@sha256:"


class NoDigest(ValueError):
    """The image that a guest runs with cannot be named by its digest, so another node may have another one under its
    name. The message names container and image."""


def target_pod_name(vmi_name: str, migration_uid: str) -> str:
    """A name that belongs to this migration alone: it cannot get two target pods."""
    return name_of_pod(vmi_name, migration_uid)


def target_pod(
    manifest: Mapping[str, Any],
    job: VirtualMachineInstanceMigration,
    vmi_name: str,
    source: LauncherPod,
    *,
    same_node: bool = False,
) -> dict[str, Any]:
    """The manifest of the target pod.

    Args:
        manifest: of the pod that the VirtualMachineInstance would have today.
        source: the pod in which the guest runs.
        same_node: whether it may be on the source's node, for want of another one.

    Raises:
        NoDigest: an image of the user's has no digest yet.
    """
    meta, spec = manifest["metadata"], manifest["spec"]
    selector = {**job.spec.added_node_selector, **spec.get("nodeSelector", {})}
    made = {
        **spec,
        "nodeSelector": selector,
        "readinessGates": [*spec.get("readinessGates", []), {"conditionType": migration.UNPAUSED_GATE}],
        "containers": [_pinned(container, source) for container in spec["containers"]],
    }
    if not same_node:
        made["affinity"] = _elsewhere(spec.get("affinity") or {}, meta["labels"][labels.CREATED_BY])
    return {
        **manifest,
        "metadata": {
            **meta,
            "name": target_pod_name(vmi_name, job.metadata.uid),
            "labels": {**meta["labels"], migration.JOB_UID: job.metadata.uid},
            "annotations": {**meta.get("annotations", {}), migration.JOB_NAME: job.metadata.name},
        },
        "spec": made,
    }


def pinned(image: str, image_id: str) -> str:
    """`image` by the digest in `image_id`, which the container runtime reports: "REPOSITORY@sha256:…", with containerd
    also "sha256:…", the digest of the image's configuration, by which nobody can pull; empty if it is that.
    """
    if _DIGEST in image:
        return image
    _, found, digest = image_id.rpartition(_DIGEST)
    if not found or not digest:
        return ""
    folder, slash, name = image.rpartition("/")
    return f"{folder}{slash}{name.partition(':')[0]}{_DIGEST}{digest}"


def _pinned(container: Mapping[str, Any], source: LauncherPod) -> Mapping[str, Any]:
    """The container with the image that the source runs, if it is the user's."""
    name = container["name"]
    if not (name.startswith(VOLUME_CONTAINER) or name == KERNEL_CONTAINER):
        return container
    image_id = next((status.image_id for status in source.containers if status.name == name), "")
    image = pinned(container["image"], image_id)
    if not image:
        raise NoDigest(f"container {name}: no digest is known of image {container['image']}")
    return {**container, "image": image}


def _elsewhere(affinity: Mapping[str, Any], vmi_uid: str) -> dict[str, Any]:
    """The user's affinity, and no node that has a pod of this VirtualMachineInstance."""
    apart = {"labelSelector": {"matchLabels": {labels.CREATED_BY: vmi_uid}}, "topologyKey": _HOST}
    anti = affinity.get("podAntiAffinity") or {}
    required = [*anti.get("requiredDuringSchedulingIgnoredDuringExecution", []), apart]
    return {**affinity, "podAntiAffinity": {**anti, "requiredDuringSchedulingIgnoredDuringExecution": required}}
