"""Reads the PersistentVolumeClaims on which a launcher pod depends. Called by reconcilers before they create one: there
are many claims in a cluster, and a pod depends on few."""

from __future__ import annotations

import msgspec
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import NotFound
from virt_core.kube.resource import PERSISTENT_VOLUME_CLAIMS
from virt_core.vmi.accepted import AcceptedSpec, RefusedSpec

from virt_controller.pod.observed import Claim
from virt_controller.pod.volumes import claim_names


async def read_claims(
    client: KubeClient, namespace: str, spec: AcceptedSpec | RefusedSpec | None
) -> dict[str, Claim | None]:
    """The claims of the spec by name, None for a missing one; nothing for a spec that gets no pod."""
    if not isinstance(spec, AcceptedSpec):
        return {}
    return {name: await _read(client, namespace, name) for name in claim_names(spec.spec)}


async def _read(client: KubeClient, namespace: str, name: str) -> Claim | None:
    try:
        return msgspec.convert(await client.get(PERSISTENT_VOLUME_CLAIMS, namespace, name), Claim)
    except NotFound:
        return None
