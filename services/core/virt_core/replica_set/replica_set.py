"""VirtualMachineInstanceReplicaSet as the suite reads it. Decoded by virt-controller's reflector; pure.

Nothing here knows how a VirtualMachineInstance is run.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec

from virt_core.objects.label_selector import LabelSelector
from virt_core.objects.meta import Condition, ObjectMeta, ObjectReference
from virt_core.vmi.template import Template

API_VERSION, KIND = "kubevirt.io/v1", "VirtualMachineInstanceReplicaSet"


class ReplicaSetSpec(msgspec.Struct, frozen=True, rename="camel"):
    """Every field of the spec."""

    selector: LabelSelector = LabelSelector()
    template: Template = Template()
    replicas: int | None = None
    paused: bool | None = None

    @property
    def wanted_replicas(self) -> int:
        """How many VirtualMachineInstances there should be."""
        return 1 if self.replicas is None else max(0, self.replicas)


class ReplicaSetStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The part of the status that decisions rest on."""

    conditions: list[Condition] = []


class VirtualMachineInstanceReplicaSet(msgspec.Struct, frozen=True, rename="camel", dict=True):
    """What reflectors keep. `raw_status` is the status as stored, with fields of other releases."""

    metadata: ObjectMeta
    raw_spec: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"{}"), name="spec")
    raw_status: dict[str, Any] = msgspec.field(default_factory=dict, name="status")

    def __post_init__(self) -> None:
        # A view would keep the whole text that it was decoded from.
        msgspec.structs.force_setattr(self, "raw_spec", self.raw_spec.copy())

    @cached_property
    def spec(self) -> ReplicaSetSpec:
        """The spec.

        Raises:
            msgspec.ValidationError: it is none. The webhook lets no such spec be stored.
        """
        return msgspec.json.decode(self.raw_spec, type=ReplicaSetSpec)

    @property
    def status(self) -> ReplicaSetStatus:
        """The part of the status that decisions rest on; of a status that does not decode, nothing."""
        try:
            return msgspec.convert(self.raw_status, ReplicaSetStatus)
        except msgspec.ValidationError:
            return ReplicaSetStatus()

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return (self.metadata.namespace, self.metadata.name)

    @property
    def reference(self) -> ObjectReference:
        """For events."""
        meta = self.metadata
        return ObjectReference(API_VERSION, KIND, meta.name, meta.namespace, meta.uid)
