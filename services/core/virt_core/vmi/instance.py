"""VirtualMachineInstance, with the fields that this release supports.

An object is decoded in two steps: `VirtualMachineInstance` keeps the spec raw, so that a reflector can hold every
stored object; `parse_spec` decodes the spec strictly (spec/domain.py) and refuses each unsupported field of KubeVirt's
by name (unsupported.py). Called by the controller (before it creates a pod) and the handler (before it builds a
Machine).
"""

from __future__ import annotations

from collections import OrderedDict
from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from virt_core.objects.meta import Condition
from virt_core.objects.raw_object import RawObject
from virt_core.validation.refusal import Refusal, UnsupportedSpec
from virt_core.validation.unsupported import unsupported
from virt_core.vmi.migration_state import MigrationState
from virt_core.vmi.spec.domain import VmiSpec


class VmiPhase(StrEnum):
    """KubeVirt's phases; this release writes those up to FAILED.

    A phase that this release does not know decodes as UNKNOWN: another release wrote it, so this one does not act.
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
        """Whether the guest has ended for good."""
        return self in (VmiPhase.SUCCEEDED, VmiPhase.FAILED)


class VolumeStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of a volume's status that decisions use."""

    name: str = ""
    phase: str = ""
    """Of a claim, before the pod has a node: Pending while it has no volume."""


class VmiStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of the status that decisions use."""

    phase: VmiPhase = VmiPhase.UNSET
    active_pods: dict[str, str] = {}
    node_name: str = ""
    conditions: list[Condition] = []
    phase_transition_timestamps: list[dict[str, str]] = []
    volume_status: list[VolumeStatus] = []
    migration_state: MigrationState | None = None
    evacuation_node_name: str = ""
    """The node that the guest is to leave."""

    @property
    def entered(self) -> list[tuple[str, str]]:
        """Each phase with the time, RFC 3339, at which it was entered last; in that order."""
        return [
            (moment.get("phase", ""), moment.get("phaseTransitionTimestamp", ""))
            for moment in self.phase_transition_timestamps
        ]

    @property
    def migrates(self) -> bool:
        """Whether the handlers move the guest."""
        return self.migration_state is not None and self.migration_state.active


_DECODED = 128
_decoded: OrderedDict[tuple[str, str], tuple[msgspec.Raw, VmiStatus]] = OrderedDict()
"""The status of each of the last guests that were looked at, with its text. A pass looks at one many times; kept for
all guests of a cluster they would take as much memory as the texts."""


class VirtualMachineInstance(RawObject, frozen=True, rename="camel"):
    """A VirtualMachineInstance in a reflector's cache."""

    API_VERSION: ClassVar[str] = "kubevirt.io/v1"
    KIND: ClassVar[str] = "VirtualMachineInstance"

    @property
    def status(self) -> VmiStatus:
        """The fields of the status that decisions use. A status that does not decode has the phase UNKNOWN."""
        text, known = self.stored_status, _decoded.get(self.key)
        if known is not None and known[0] is text:
            return known[1]
        try:
            status = msgspec.json.decode(text, type=VmiStatus)
        except msgspec.ValidationError:
            status = VmiStatus(phase=VmiPhase.UNKNOWN)
        # Each step alone: a scrape looks at statuses in another thread.
        _decoded.pop(self.key, None)
        _decoded[self.key] = text, status
        if len(_decoded) > _DECODED:
            _decoded.popitem(last=False)
        return status


_TOO_DEEP = Refusal("spec", "is nested too deeply")
_spec_decoder = msgspec.json.Decoder(VmiSpec)


def parse_spec(raw: msgspec.Raw) -> VmiSpec:
    """Decode the spec strictly.

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
    """Like `parse_spec`, for a spec made of builtins, which may be any JSON value.

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
