"""An object whose spec and status stay as stored until something is decided about them. Pure; the base of
VirtualMachine, VirtualMachineInstance and others.

A cluster has many halted VirtualMachines, and nothing is decided about them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar

import msgspec

from virt_core.objects.meta import ObjectMeta, ObjectReference

Status = TypeVar("Status", bound=msgspec.Struct)


class RawObject(msgspec.Struct, frozen=True, rename="camel"):
    """What reflectors keep. `raw_status` is the status as stored, with fields of other releases."""

    API_VERSION: ClassVar[str]
    KIND: ClassVar[str]

    metadata: ObjectMeta
    raw_spec: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"{}"), name="spec")
    raw_status: dict[str, Any] = msgspec.field(default_factory=dict, name="status")

    def __post_init__(self) -> None:
        # A view would keep the whole text that it was decoded from: a list of 10,000 objects, or one with its
        # managedFields.
        msgspec.structs.force_setattr(self, "raw_spec", self.raw_spec.copy())

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """From an object made of builtins. Raises msgspec.ValidationError."""
        return msgspec.json.decode(msgspec.json.encode(body), type=cls)

    def status_as(self, kind: type[Status]) -> Status:
        """The part of the status that decisions rest on; of a status that does not decode, nothing."""
        try:
            return msgspec.convert(self.raw_status, kind)
        except msgspec.ValidationError:
            return kind()

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return (self.metadata.namespace, self.metadata.name)

    @property
    def reference(self) -> ObjectReference:
        """For events."""
        meta = self.metadata
        return ObjectReference(self.API_VERSION, self.KIND, meta.name, meta.namespace, meta.uid)
