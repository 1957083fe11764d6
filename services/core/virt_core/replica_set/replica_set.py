"""VirtualMachineInstanceReplicaSet as the suite reads it. Decoded by virt-controller's reflector; pure.

Nothing here knows how a VirtualMachineInstance is run.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import msgspec

from virt_core.objects.label_selector import LabelSelector
from virt_core.objects.meta import Condition
from virt_core.objects.raw_object import RawObject
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


class VirtualMachineInstanceReplicaSet(RawObject, frozen=True, rename="camel", dict=True):
    """What reflectors keep."""

    API_VERSION: ClassVar[str] = API_VERSION
    KIND: ClassVar[str] = KIND

    @cached_property
    def spec(self) -> ReplicaSetSpec:
        """The spec.

        Raises:
            msgspec.ValidationError: it is none. The webhook lets no such spec be stored.
        """
        return msgspec.json.decode(self.raw_spec, type=ReplicaSetSpec)

    @property
    def status(self) -> ReplicaSetStatus:
        """The part of the status that decisions rest on."""
        return self.status_as(ReplicaSetStatus)
