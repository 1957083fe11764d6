"""Which VirtualMachines with an instance type or a preference are stored."""

from __future__ import annotations

from typing import Any

import pytest
from virt_core.instancetype.matcher import Chosen
from virt_core.objects.kubevirt import Configuration
from virt_core.objects.paths import put
from virt_core.vm.admission import admit
from virt_core.vm.defaults import create_patch

from tests.samples.instancetypes import instancetype, preference

CONFIGURATION = Configuration()
TEMPLATE = "spec.template.spec"
NAMES_BOTH = {"instancetype": {"name": "small"}, "preference": {"name": "linux"}}


def vm(*, template: Any = None, **spec: Any) -> dict[str, Any]:
    """A VirtualMachine without CPU and memory."""
    body = {"spec": template or {"domain": {"devices": {}}}}
    return {"metadata": {"name": "web"}, "spec": {"runStrategy": "Always", "template": body, **spec}}


def refused(
    body: dict[str, Any],
    kind: dict[str, Any] | None = None,
    preferred: dict[str, Any] | None = None,
    *,
    old: dict[str, Any] | None = None,
) -> list[str]:
    """The fields that are refused, in order."""
    chosen = Chosen(kind, preferred)
    return [each.field for each in admit(body, old, CONFIGURATION, is_own_account=False, chosen=chosen)]


def test_memory_and_cpu_may_come_from_the_instance_type() -> None:
    assert refused(vm(**NAMES_BOTH), instancetype(), preference()) == []
    assert refused(vm()) == [f"{TEMPLATE}.domain.memory.guest"]


def test_objects_that_do_not_exist_yet_are_no_reason_to_refuse() -> None:
    assert refused(vm(**NAMES_BOTH)) == []
    assert refused(vm(**NAMES_BOTH), None, preference(requirements={"cpu": {"guest": 8}})) == []
    sized = {"domain": {"devices": {}, "cpu": {"cores": 4}, "memory": {"guest": "2Gi"}}}
    assert refused(vm(template=sized, **NAMES_BOTH)) == []


def test_the_rest_of_the_template_is_checked_without_them_too() -> None:
    wrong = {"domain": {"devices": {}, "machine": {"type": "pc"}}}
    assert refused(vm(template=wrong, **NAMES_BOTH)) == [f"{TEMPLATE}.domain.machine.type"]
    assert refused(vm(template=wrong, **NAMES_BOTH), instancetype()) == [f"{TEMPLATE}.domain.machine.type"]


def test_conflicts_are_named_by_field_in_order() -> None:
    spec = {"domain": {"devices": {}, "cpu": {"sockets": 1, "threads": 1}, "memory": {"guest": "1Gi"}}}
    assert refused(vm(template=spec, **NAMES_BOTH), instancetype()) == [
        f"{TEMPLATE}.domain.cpu.sockets",
        f"{TEMPLATE}.domain.cpu.threads",
        f"{TEMPLATE}.domain.memory.guest",
    ]


def test_what_both_make_of_the_template_is_held_to_the_rules_of_a_guest() -> None:
    assert refused(vm(**NAMES_BOTH), instancetype(cpu={"guest": 2, "dedicatedCPUPlacement": True})) == [
        f"{TEMPLATE}.domain.cpu.dedicatedCpuPlacement"
    ]
    spread = preference(cpu={"preferredCPUTopology": "spread"})
    assert refused(vm(**NAMES_BOTH), instancetype(3), spread) == ["instancetype.spec.cpu.guest"]
    assert refused(vm(**NAMES_BOTH), instancetype(gpus=[{"name": "g"}])) == ["spec.instancetype"]
    hooks = instancetype(annotations={"hooks.kubevirt.io/hookSidecars": "[]"})
    assert refused(vm(**NAMES_BOTH), hooks) == ["spec.template.metadata.annotations.hooks.kubevirt.io/hookSidecars"]


def test_requirements_are_checked_at_every_change_of_the_spec() -> None:
    wants_two = preference(requirements={"cpu": {"guest": 2}})
    assert refused(vm(**NAMES_BOTH), instancetype(1), wants_two) == ["spec.instancetype"]
    small = {"domain": {"devices": {}, "cpu": {"sockets": 1}, "memory": {"guest": "1Gi"}}}
    large = put(small, ("domain", "cpu", "sockets"), 2)
    alone = {"preference": {"name": "linux"}}
    assert refused(vm(template=large, **alone), None, wants_two) == []
    assert refused(vm(template=small, **alone), None, wants_two, old=vm(template=large, **alone)) == [
        f"{TEMPLATE}.domain.cpu.sockets"
    ]


def test_a_virtual_machine_whose_instance_type_was_changed_can_still_be_halted() -> None:
    stored = vm(**NAMES_BOTH)
    halted = {**stored, "spec": {**stored["spec"], "runStrategy": "Halted"}}
    assert refused(halted, instancetype(gpus=[{"name": "g"}]), old=stored) == []
    other = {**stored, "spec": {**stored["spec"], "instancetype": {"name": "other"}}}
    assert refused(other, instancetype(gpus=[{"name": "g"}]), old=stored) == ["spec.instancetype"]


@pytest.mark.parametrize(
    ("spec", "preferred", "machine", "architecture"),
    [
        ({}, None, "q35", "amd64"),
        ({}, preference(machine={"preferredMachineType": "pc-q35-7.2"}), "pc-q35-7.2", "amd64"),
        (
            {"domain": {"machine": {"type": "pc-q35-8.0"}}},
            preference(machine={"preferredMachineType": "q35"}),
            "pc-q35-8.0",
            "amd64",
        ),
        ({}, preference(preferredArchitecture="arm64"), "q35", "arm64"),
    ],
)
def test_the_machine_type_that_is_stored_is_the_templates_the_preferences_or_the_clusters(
    spec: Any, preferred: Any, machine: str, architecture: str
) -> None:
    (operation, _) = create_patch(vm(template=spec or {"domain": {}}), CONFIGURATION, lambda: "uuid", preferred)
    stored = operation["value"]
    assert (stored["domain"]["machine"]["type"], stored["architecture"]) == (machine, architecture)
