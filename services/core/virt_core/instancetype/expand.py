"""A VirtualMachine with its instance type and preference written out. Pure; called by virt-api for expand-spec.

The result names neither, has the defaults of a VirtualMachineInstance, and can be created.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from virt_core.instancetype.apply import apply
from virt_core.instancetype.matcher import Chosen, Role
from virt_core.objects.kubevirt import Configuration
from virt_core.objects.paths import at, put, without
from virt_core.validation.refusal import Refusal
from virt_core.vmi.defaults import defaulted

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Expanded:
    """The VirtualMachine, or why it cannot be expanded."""

    vm: Body
    refusals: tuple[Refusal, ...] = ()


def expanded(vm: Body, chosen: Chosen, configuration: Configuration) -> Expanded:
    """The VirtualMachine expanded by the objects that it names, all of which exist; one that names none stays as it
    is."""
    if not names_any(vm):
        return Expanded(vm)
    template = at(vm, ("spec", "template"))
    applied = apply(template if isinstance(template, Mapping) else {}, chosen.instancetype, chosen.preference)
    if applied.refusals:
        return Expanded(vm, applied.refusals)
    spec = defaulted({"spec": applied.template.get("spec")}, configuration)["spec"]
    body = put(vm, ("spec", "template"), {**applied.template, "spec": spec})
    for role in Role:
        body = without(body, ("spec", role.value))
    return Expanded(body)


def names_any(vm: Body) -> bool:
    """Whether the VirtualMachine names an instance type or a preference."""
    return any(at(vm, ("spec", role.value)) for role in Role)
