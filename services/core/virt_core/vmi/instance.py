"""VirtualMachineInstance as far as this release supports it.

Two readings of one object: `VirtualMachineInstance` keeps the spec raw, so that a reflector can hold any object that
the API server stored; `parse_spec` reads the spec strictly (spec/domain.py) and refuses, by name, each field of
KubeVirt's that is not supported yet (unsupported.py). Called by the controller (before a pod is made) and the handler
(before a Machine is made).
"""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import Any

import msgspec

from virt_core.objects.meta import Condition, ObjectMeta, ObjectReference
from virt_core.validation.refusal import Refusal, UnsupportedSpec
from virt_core.validation.unsupported import unsupported
from virt_core.vmi.spec.domain import VmiSpec


class VmiPhase(StrEnum):
    """KubeVirt's phases; this release writes those up to FAILED.

    A phase that this release does not know reads as UNKNOWN: another release wrote it, so nothing is done about it.
    """

    UNSET = ""
    PENDING = "Pending"
    SCHEDULING = "Scheduling"
    SCHEDULED = "Scheduled"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    WAITING_FOR_SYNC = "WaitingForSync"
    UNKNOWN = "Unknown"

    @classmethod
    def _missing_(cls, value: object) -> VmiPhase:  # noqa: ARG003 - the signature is enum's
        return cls.UNKNOWN

    @property
    def final(self) -> bool:
        """Whether nothing happens to the guest any more."""
        return self in (VmiPhase.SUCCEEDED, VmiPhase.FAILED)


class VmiStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The part of the status that decisions rest on."""

    phase: VmiPhase = VmiPhase.UNSET
    active_pods: dict[str, str] = {}
    node_name: str = ""
    conditions: list[Condition] = []
    phase_transition_timestamps: list[dict[str, str]] = []


class VirtualMachineInstance(msgspec.Struct, frozen=True, rename="camel", dict=True):
    """What reflectors keep.

    `raw_status` is the status as stored, with fields of other writers and releases: patches are guarded by it.
    """

    metadata: ObjectMeta
    spec: msgspec.Raw = msgspec.Raw(b"{}")
    raw_status: dict[str, Any] = msgspec.field(default_factory=dict, name="status")

    @cached_property
    def status(self) -> VmiStatus:
        """The part of the status that decisions rest on. One that does not decode has the phase UNKNOWN."""
        try:
            return msgspec.convert(self.raw_status, VmiStatus)
        except msgspec.ValidationError:
            return VmiStatus(phase=VmiPhase.UNKNOWN)

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return (self.metadata.namespace, self.metadata.name)

    @property
    def reference(self) -> ObjectReference:
        """For events."""
        meta = self.metadata
        return ObjectReference("kubevirt.io/v1", "VirtualMachineInstance", meta.name, meta.namespace, meta.uid)


_TOO_DEEP = Refusal("spec", "is nested too deeply")
_spec_decoder = msgspec.json.Decoder(VmiSpec)


def parse_spec(raw: msgspec.Raw) -> VmiSpec:
    """The spec, strictly.

    Raises:
        UnsupportedSpec: naming each field that is unknown, not supported or of the wrong type.
    """
    try:
        return _spec_decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _unsupported(msgspec.json.decode(raw), error) from error
    except RecursionError as error:
        raise UnsupportedSpec(_TOO_DEEP) from error


def read_spec(spec: Any) -> VmiSpec:
    """The same of a spec made of builtins, which may be anything that JSON has.

    Raises:
        UnsupportedSpec: naming each field that is unknown, not supported or of the wrong type.
    """
    try:
        return msgspec.convert(spec, VmiSpec)
    except msgspec.ValidationError as error:
        raise _unsupported(spec, error) from error
    except RecursionError as error:
        raise UnsupportedSpec(_TOO_DEEP) from error


def _unsupported(spec: Any, error: msgspec.ValidationError) -> UnsupportedSpec:
    found = tuple(unsupported(spec, VmiSpec))
    return UnsupportedSpec(*(found or (Refusal("spec", str(error)),)))
