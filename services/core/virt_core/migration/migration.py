"""VirtualMachineInstanceMigration as the suite reads it. Decoded by virt-controller's reflector and by virt-api; pure.

It is the request to move a guest, and the record of how that ended. How the guest moves is agreed in its
VirtualMachineInstance's status.migrationState (vmi/migration_state.py).
"""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar

import msgspec

from virt_core.objects.meta import Condition, condition_of
from virt_core.objects.raw_object import RawObject

API_VERSION, KIND = "kubevirt.io/v1", "VirtualMachineInstanceMigration"
WAITING = "Waiting"
"""The condition that says why the migration has not begun or does not go on. Not in KubeVirt."""
REJECTED_BY_QUOTA = "migrationRejectedByResourceQuota"
STALLED = "Stalled"
"""The condition of a copy that has shown no progress for so long that it holds no place any more. Not in KubeVirt."""


class MigrationPhase(StrEnum):
    """KubeVirt's phases. One that this release does not know reads as UNKNOWN, and nothing is done about it."""

    UNSET = ""
    PENDING = "Pending"
    SCHEDULING = "Scheduling"
    SCHEDULED = "Scheduled"
    PREPARING_TARGET = "PreparingTarget"
    TARGET_READY = "TargetReady"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"

    @classmethod
    def _missing_(cls, value: object) -> MigrationPhase:  # noqa: ARG003 - the signature is enum's
        return cls.UNKNOWN

    @property
    def final(self) -> bool:
        """Whether the migration is over."""
        return self in (MigrationPhase.SUCCEEDED, MigrationPhase.FAILED)

    @property
    def waiting(self) -> bool:
        """Whether the migration has not begun."""
        return self in (MigrationPhase.UNSET, MigrationPhase.PENDING)


class MigrationSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of the spec that this release uses."""

    vmi_name: str = ""
    added_node_selector: dict[str, str] = {}
    priority: str = ""


class PhaseTransition(msgspec.Struct, frozen=True, rename="camel"):
    """When a phase was entered for the first time."""

    phase: str = ""
    phase_transition_timestamp: str = ""
    """RFC 3339."""


class MigrationStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of the status that decisions use."""

    phase: MigrationPhase = MigrationPhase.UNSET
    conditions: list[Condition] = []
    phase_transition_timestamps: list[PhaseTransition] = []
    migration_state: dict[str, Any] | None = None

    @property
    def failure_reason(self) -> str:
        """Why it failed, for people."""
        return str((self.migration_state or {}).get("failureReason") or "its events say why")

    @property
    def takes_place(self) -> bool:
        """Whether the migration counts against the cluster's limits."""
        if self.phase.final or self.phase.waiting:
            return False
        stalled = condition_of(self.conditions, STALLED)
        return stalled is None or stalled.status != "True"

    @property
    def phases_entered(self) -> list[tuple[str, str]]:
        """Each phase with the time, RFC 3339, at which it was entered; in that order."""
        return [(moment.phase, moment.phase_transition_timestamp) for moment in self.phase_transition_timestamps]

    def entered(self, phase: MigrationPhase) -> str:
        """When the phase was entered first, RFC 3339; empty: it was not."""
        found = (moment for moment in self.phase_transition_timestamps if moment.phase == phase.value)
        return next((moment.phase_transition_timestamp for moment in found), "")


class VirtualMachineInstanceMigration(RawObject, frozen=True, rename="camel", dict=True):
    """What reflectors keep."""

    API_VERSION: ClassVar[str] = API_VERSION
    KIND: ClassVar[str] = KIND

    @cached_property
    def spec(self) -> MigrationSpec:
        """The spec; one that does not decode has no vmiName, and nothing is done about it. Admission refuses such."""
        try:
            return msgspec.json.decode(self.raw_spec, type=MigrationSpec)
        except msgspec.ValidationError:
            return MigrationSpec()

    @cached_property
    def status(self) -> MigrationStatus:
        """The fields of the status that decisions use. A status that does not decode has the phase UNKNOWN."""
        try:
            return msgspec.json.decode(self.stored_status, type=MigrationStatus)
        except msgspec.ValidationError:
            return MigrationStatus(phase=MigrationPhase.UNKNOWN)

    @property
    def vmi_key(self) -> tuple[str, str]:
        """Namespace and name of the VirtualMachineInstance that moves."""
        return (self.metadata.namespace, self.spec.vmi_name)
