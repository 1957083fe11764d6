"""Owner references of what controllers create, adopt and release. Pure; called by plans."""

from __future__ import annotations

from typing import Any

from virt_core.objects.meta import ObjectMeta, ObjectReference
from virt_core.objects.patch import Operation

_OWNERS = "/metadata/ownerReferences"


def controller_reference(owner: ObjectReference) -> dict[str, Any]:
    """Makes the owner the controller of an object."""
    return {
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def adoption_patch(meta: ObjectMeta, owner: ObjectReference) -> list[Operation]:
    """The guarded patch by which the owner becomes the controller of an object that has none. Other owners stay."""
    reference = controller_reference(owner)
    owners: Operation = {"op": "add", "path": _OWNERS, "value": [reference]}
    if meta.owner_references:
        owners = {"op": "add", "path": f"{_OWNERS}/-", "value": reference}
    return [*_unchanged(meta), owners]


def release_patch(meta: ObjectMeta, owner_uid: str) -> list[Operation]:
    """The guarded patch after which the owner of that UID owns the object no longer; empty if it does not own it."""
    index = next((index for index, owner in enumerate(meta.owner_references) if owner.uid == owner_uid), None)
    if index is None:
        return []
    return [*_unchanged(meta), {"op": "remove", "path": f"{_OWNERS}/{index}"}]


def _unchanged(meta: ObjectMeta) -> list[Operation]:
    return [
        {"op": "test", "path": "/metadata/uid", "value": meta.uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": meta.resource_version},
    ]
