"""Instance types and preferences in the cluster, and the ControllerRevisions that keep them for a VirtualMachine. Pure.

Cached and stored by virt-controller, read by virt-api. A VirtualMachine keeps what it was started with, so a change of
an instance type reaches new VirtualMachines only. Names and labels are KubeVirt's.

Older releases of KubeVirt made ControllerRevisions without version in name and labels, of objects of v1alpha1 and
v1alpha2, whose specs are parts of v1beta1's, or of a spec alone.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import msgspec

from virt_core.instancetype.matcher import RESOURCES, Role
from virt_core.kube.resource import CONTROLLER_REVISIONS, Resource
from virt_core.objects.meta import ObjectMeta
from virt_core.objects.paths import at

Body = Mapping[str, Any]
REFERENCE, EXPAND, EXPAND_ALL = "reference", "expand", "expandAll"
"""configuration.instancetype.referencePolicy: VirtualMachines keep ControllerRevisions, or their templates get what
the objects say: those without a ControllerRevision, or all."""

_LABEL = "instancetype.kubevirt.io/object-"
_KINDS = tuple(resource.kind for pair in RESOURCES.values() for resource in pair)
_GROUP = RESOURCES[Role.INSTANCETYPE][0].group
_METADATA = {"uid": str, "generation": int, "creationTimestamp": str}  # what a ControllerRevision keeps of it


class StoredObject(msgspec.Struct, frozen=True, rename="camel"):
    """An instance type or a preference as the cache keeps it: without labels, annotations and owners."""

    metadata: ObjectMeta
    raw_spec: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"{}"), name="spec")

    def __post_init__(self) -> None:
        bare = msgspec.structs.replace(self.metadata, labels={}, annotations={}, finalizers=[], owner_references=[])
        msgspec.structs.force_setattr(self, "metadata", bare)
        # A view would keep the whole text that it was decoded from.
        msgspec.structs.force_setattr(self, "raw_spec", self.raw_spec.copy())

    def body(self, resource: Resource) -> dict[str, Any]:
        """The object as JSON has it."""
        meta = self.metadata
        metadata = {
            "name": meta.name,
            "namespace": meta.namespace,
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
            "generation": meta.generation,
            "creationTimestamp": meta.creation_timestamp,
        }
        return {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {key: value for key, value in metadata.items() if value},
            "spec": msgspec.json.decode(self.raw_spec),
        }


def kept_revision(vm: ObjectMeta, owner: Body, resource: Resource, stored: StoredObject) -> dict[str, Any]:
    """The ControllerRevision that keeps the object for a VirtualMachine, which owns it."""
    meta = stored.metadata
    words = {
        "generation": str(meta.generation),
        "kind": resource.kind,
        "name": meta.name,
        "uid": meta.uid,
        "version": resource.version,
    }
    return {
        "apiVersion": CONTROLLER_REVISIONS.api_version,
        "kind": CONTROLLER_REVISIONS.kind,
        "metadata": {
            "name": f"{_prefix(vm.name, resource, meta.name)}-{meta.uid}-{meta.generation}",
            "namespace": vm.namespace,
            "labels": {f"{_LABEL}{word}": value for word, value in words.items()},
            "ownerReferences": [owner],
        },
        "revision": 0,
        "data": stored.body(resource),
    }


def _prefix(vm_name: str, resource: Resource, name: str) -> str:
    return f"{vm_name}-{name}-{resource.version}"


def keeps_the_same(found: Body, wanted: Body) -> bool:
    """Whether two ControllerRevisions keep an object of the same kind with the same spec."""
    paths = (("data", "kind"), ("data", "spec"))
    return all(at(found, path) == at(wanted, path) for path in paths)


def object_in(revision: Body, name: str) -> Body | None:
    """The object that a ControllerRevision keeps; None: it keeps none of that name. "" stands for any name.

    A ControllerRevision of another kind of owner, a StatefulSet's for example, keeps none.
    """
    data = revision.get("data")
    if not isinstance(data, Mapping) or not _is_ours(data):
        return None
    kept = data
    if isinstance(data.get("spec"), str):
        kept = {"metadata": {"uid": at(revision, ("metadata", "uid"))}, "spec": _decoded(data["spec"])}
    if not isinstance(kept.get("spec"), Mapping):
        return None
    named = at(revision, ("metadata", "labels", f"{_LABEL}name")) or at(kept, ("metadata", "name"))
    return kept if not name or named in (name, None) else None


def _is_ours(data: Body) -> bool:
    return data.get("kind") in _KINDS or str(data.get("apiVersion")).startswith(f"{_GROUP}/")


def _decoded(text: str) -> Any:
    """The spec of v1alpha1's first form; None: it is none."""
    try:
        return msgspec.json.decode(b64decode(text))
    except (ValueError, msgspec.DecodeError):
        return None


def has_current_name(revision: str, vm_name: str, resource: Resource, name: str) -> bool:
    """Whether a ControllerRevision of that name keeps the object as `kept_revision` does."""
    return revision.startswith(f"{_prefix(vm_name, resource, name)}-")


def replacing_revision(vm: ObjectMeta, owner: Body, resource: Resource, name: str, kept: Body) -> dict[str, Any]:
    """The ControllerRevision that replaces an older release's, which keeps the object `kept`."""
    found = {key: at(kept, ("metadata", key)) for key in _METADATA}
    # Anybody who may write ControllerRevisions chooses what they hold, and to Python True is a number.
    metadata = {key: value for key, value in found.items() if type(value) is _METADATA[key]}
    body = {"metadata": {**metadata, "name": name}, "spec": kept["spec"]}
    stored = msgspec.json.decode(json.dumps(body), type=StoredObject)
    return kept_revision(vm, owner, resource, stored)
