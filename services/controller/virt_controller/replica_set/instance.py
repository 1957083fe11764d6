"""The VirtualMachineInstances that a replica set creates, and their names. Pure; called by plan.py and reconcile.py.

Names look like generated ones, but are a sequence that follows from the replica set's UID: a new VirtualMachineInstance
has the first name that is free. So a controller that does not know of a creation tries the same name and creates no
second one, whether its cache is behind, the response was lost or another leader made it. Kubernetes' ReplicaSet keeps
such expectations in memory, where they are lost with the process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec
from virt_core.conventions.labels import REPLICA_BACK_OFF
from virt_core.replica_set.replica_set import API_VERSION, ReplicaSetSpec, VirtualMachineInstanceReplicaSet
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.ownership import controller_reference

Manifest = dict[str, Any]
_LONGEST_BASE = 58  # characters, as the API server cuts generateName
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"  # the API server's letters for generated names
_SUFFIX_LENGTH = 5
_COPIED = ("labels", "annotations")


def names(replica_set: VirtualMachineInstanceReplicaSet, spec: ReplicaSetSpec) -> Iterator[str]:
    """The endless sequence of names. Their beginning is KubeVirt's."""
    template = spec.template.metadata or {}
    base = template.get("name") or template.get("generateName") or replica_set.metadata.name
    for number in count():
        yield str(base)[:_LONGEST_BASE] + _suffix(f"{replica_set.metadata.uid}/{number}")


def _suffix(seed: str) -> str:
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")
    letters = []
    for _ in range(_SUFFIX_LENGTH):
        number, letter = divmod(number, len(_SUFFIX))
        letters.append(_SUFFIX[letter])
    return "".join(letters)


def instance(
    replica_set: VirtualMachineInstanceReplicaSet, spec: ReplicaSetSpec, name: str, short_lives: int
) -> Manifest:
    """The VirtualMachineInstance. `short_lives`: how many of those that it replaces ended soon after their start."""
    template = spec.template.metadata or {}
    metadata: Manifest = {key: dict(template[key]) for key in _COPIED if isinstance(template.get(key), dict)}
    if short_lives:
        metadata.setdefault("annotations", {})[REPLICA_BACK_OFF] = f"{template_hash(spec)}.{short_lives}"
    metadata |= {
        "name": name,
        "namespace": replica_set.metadata.namespace,
        "ownerReferences": [controller_reference(replica_set.reference)],
    }
    body: Manifest = msgspec.json.decode(spec.template.spec)
    return {"apiVersion": API_VERSION, "kind": "VirtualMachineInstance", "metadata": metadata, "spec": body}


def short_lives_before(vmi: VirtualMachineInstance, spec: ReplicaSetSpec) -> int:
    """How many short lives in a row preceded this one; 0 if it was created from another template."""
    made_from, _, number = vmi.metadata.annotations.get(REPLICA_BACK_OFF, "").partition(".")
    is_number = number.isascii() and number.isdecimal() and len(number) <= 3
    return int(number) if is_number and made_from == template_hash(spec) else 0


def template_hash(spec: ReplicaSetSpec) -> str:
    """Differs between templates."""
    metadata = msgspec.json.encode(spec.template.metadata, order="deterministic")
    return hashlib.sha256(metadata + bytes(spec.template.spec)).hexdigest()[:10]
