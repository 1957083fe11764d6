"""VirtualMachine as the suite reads it. Decoded by virt-controller's reflector and by virt-api; pure.

The spec stays raw and is read on demand (RawObject).
Nothing here knows how a VirtualMachineInstance is run.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from virt_core.objects.meta import Condition
from virt_core.objects.patch import Operation, guarded_patch
from virt_core.objects.raw_object import RawObject
from virt_core.vmi.template import Template

API_VERSION, KIND = "kubevirt.io/v1", "VirtualMachine"


class RunStrategy(StrEnum):
    """KubeVirt's run strategies. One that this release does not know reads as UNKNOWN, and nothing is done about it."""

    ALWAYS = "Always"
    RERUN_ON_FAILURE = "RerunOnFailure"
    MANUAL = "Manual"
    HALTED = "Halted"
    ONCE = "Once"
    UNKNOWN = "Unknown"

    @classmethod
    def _missing_(cls, value: object) -> RunStrategy:  # noqa: ARG003 - the signature is enum's
        return cls.UNKNOWN


RUN_STRATEGIES = tuple(strategy.value for strategy in RunStrategy if strategy is not RunStrategy.UNKNOWN)


class VirtualMachineSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The part of the spec that decisions rest on."""

    running: bool | None = None
    run_strategy: str | None = None
    template: Template = Template()
    instancetype: dict[str, Any] | None = None
    """A matcher (virt_core.instancetype.matcher), as JSON has it."""

    preference: dict[str, Any] | None = None
    """The same for a preference."""

    @property
    def strategy(self) -> RunStrategy:
        """The run strategy; `running` is its older form. Neither: Halted, as in KubeVirt."""
        if self.run_strategy is not None:
            return RunStrategy(self.run_strategy)
        return RunStrategy.ALWAYS if self.running else RunStrategy.HALTED

    @property
    def strategy_name(self) -> str:
        """The run strategy as the user wrote it, also one of another release."""
        return self.run_strategy if self.run_strategy is not None else self.strategy.value


class StateChangeRequest(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A start or a stop that a user requested by a subresource."""

    action: str
    data: dict[str, str] = {}
    uid: str = ""
    """Of the VirtualMachineInstance to stop."""

    @property
    def is_start(self) -> bool:
        """Whether it requests a start."""
        return self.action == "Start"

    @property
    def starts_paused(self) -> bool:
        """Whether the guest is to be paused before its first instruction."""
        return self.is_start and self.data.get("paused") == "true"

    def stops(self, uid: str) -> bool:
        """Whether it requests the stop of the VirtualMachineInstance of that UID."""
        return self.action == "Stop" and self.uid == uid


class StartFailure(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Starts that ended before the guest ever ran."""

    consecutive_fail_count: int = 0
    last_failed_vmi_uid: str = msgspec.field(default="", name="lastFailedVMIUID")
    retry_after_timestamp: str | None = None
    """RFC 3339."""


class StartRevision(msgspec.Struct, frozen=True):
    """The ControllerRevision of a start, which is kept as long as the status names it. Releases that do not know the
    field may have deleted it."""

    name: str = ""
    digest: str = ""
    """Of the spec that it keeps."""


class VirtualMachineStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The part of the status that decisions rest on."""

    conditions: list[Condition] = []
    run_strategy: str = ""
    """The run strategy under which a VirtualMachineInstance was last seen."""

    printable_status: str = ""
    state_change_requests: list[StateChangeRequest] = []
    start_failure: StartFailure | None = None
    observed_generation: int = 0
    start_revision: StartRevision | None = None


class VirtualMachine(RawObject, frozen=True, rename="camel"):
    """What reflectors keep."""

    API_VERSION: ClassVar[str] = API_VERSION
    KIND: ClassVar[str] = KIND

    @property
    def spec(self) -> VirtualMachineSpec:
        """The spec, decoded at each access.

        Raises:
            msgspec.ValidationError: it is none. The CRD's schema lets no such spec be stored.
        """
        return msgspec.json.decode(self.raw_spec, type=VirtualMachineSpec)

    @property
    def status(self) -> VirtualMachineStatus:
        """The part of the status that decisions rest on."""
        return self.status_as(VirtualMachineStatus)


def strategy_patch(vm: VirtualMachine, strategy: RunStrategy) -> list[Operation]:
    """The guarded patch to Always or Halted, in the field that the object uses: `running` is the older one."""
    spec = vm.spec
    if spec.run_strategy is not None:
        before, after = {"runStrategy": spec.run_strategy}, {"runStrategy": strategy.value}
        return guarded_patch(vm.metadata, before, after, "spec")
    running = {} if spec.running is None else {"running": spec.running}
    return guarded_patch(vm.metadata, running, {"running": strategy is RunStrategy.ALWAYS}, "spec")
