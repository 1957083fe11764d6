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
_EMPTY = msgspec.Raw(b"{}")
_decoder = msgspec.json.Decoder(dict[str, Any])


class RawObject(msgspec.Struct, frozen=True, rename="camel"):
    """What reflectors keep. As text, spec and status need a third of the memory, and decoding takes microseconds."""

    API_VERSION: ClassVar[str]
    KIND: ClassVar[str]

    metadata: ObjectMeta
    raw_spec: msgspec.Raw = msgspec.field(default=_EMPTY, name="spec")
    stored_status: msgspec.Raw = msgspec.field(default=_EMPTY, name="status")

    def __post_init__(self) -> None:
        if not bytes(self.stored_status).startswith(b"{"):
            raise ValueError("status is not an object")
        # A view would keep the whole text that it was decoded from: a page of a list, or an object with its
        # managedFields.
        msgspec.structs.force_setattr(self, "raw_spec", self.raw_spec.copy())
        msgspec.structs.force_setattr(self, "stored_status", self.stored_status.copy())

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """From an object made of builtins. Raises msgspec.ValidationError."""
        return msgspec.json.decode(msgspec.json.encode(body), type=cls)

    @property
    def raw_status(self) -> dict[str, Any]:
        """The status as stored, with fields of other releases, decoded at each access."""
        return _decoder.decode(self.stored_status)

    def with_status(self, status: Mapping[str, Any]) -> Self:
        """The object with another status."""
        return msgspec.structs.replace(self, stored_status=msgspec.Raw(msgspec.json.encode(status)))

    def status_as(self, kind: type[Status]) -> Status:
        """The part of the status that decisions rest on; of a status that does not decode, nothing."""
        try:
            return msgspec.json.decode(self.stored_status, type=kind)
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
