"""Instance types and preferences in the cluster, and the ControllerRevisions that keep them for a VirtualMachine. Pure.

Cached and stored by virt-controller. A VirtualMachine keeps what it was started with, so a change of an instance type
reaches new VirtualMachines only. Names and labels are KubeVirt's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from virt_core.kube.resource import CONTROLLER_REVISIONS, Resource
from virt_core.objects.meta import ObjectMeta
from virt_core.objects.paths import at

Body = Mapping[str, Any]
REFERENCE, EXPAND, EXPAND_ALL = "reference", "expand", "expandAll"
"""configuration.instancetype.referencePolicy: VirtualMachines keep ControllerRevisions, or their templates get what
the objects say: those without a ControllerRevision, or all."""

_LABEL = "instancetype.kubevirt.io/object-"


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
            "name": f"{vm.name}-{meta.name}-{resource.version}-{meta.uid}-{meta.generation}",
            "namespace": vm.namespace,
            "labels": {f"{_LABEL}{word}": value for word, value in words.items()},
            "ownerReferences": [owner],
        },
        "revision": 0,
        "data": stored.body(resource),
    }


def keeps_the_same(found: Body, wanted: Body) -> bool:
    """Whether two ControllerRevisions keep an object of the same kind with the same spec."""
    paths = (("data", "kind"), ("data", "spec"))
    return all(at(found, path) == at(wanted, path) for path in paths)


def object_in(revision: Body, name: str) -> Body | None:
    """The object that a ControllerRevision keeps; None: it keeps none of that name. "" stands for any name."""
    kept = revision.get("data")
    labelled = at(revision, ("metadata", "labels", f"{_LABEL}name"))
    if not isinstance(kept, Mapping) or not isinstance(kept.get("spec"), Mapping):
        return None
    return kept if not name or labelled == name else None
