"""virt-controller's metrics of VirtualMachines have KubeVirt's names, labels and types."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest
from virt_controller.metrics.vms import Machine, families
from virt_controller.vm import printable
from virt_core.vm.virtual_machine import VirtualMachine

CREATED, CHANGED = "2026-01-01T00:00:00Z", "2026-01-01T00:00:03Z"
WEB = {"name": "web", "namespace": "shop"}
DOMAIN: dict[str, Any] = {
    "cpu": {"cores": 2, "sockets": 3},
    "memory": {"guest": "1Gi", "hugepages": {"pageSize": "2Mi"}},
    "machine": {"type": "q35"},
    "resources": {"requests": {"memory": "2Gi", "cpu": "1500m"}, "limits": {"memory": "4Gi", "cpu": "2"}},
}


def vm(status: str = "Running", domain: Any = None, **more: Any) -> VirtualMachine:
    annotations = {"vm.kubevirt.io/os": "fedora", "vm.kubevirt.io/workload": "server"}
    template = {"metadata": {"annotations": annotations}, "spec": {"domain": domain if domain is not None else DOMAIN}}
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": CHANGED}
    other = {"type": "Synchronized", "status": "True", "lastTransitionTime": "2027-01-01T00:00:00Z"}
    return VirtualMachine.of(
        {
            "metadata": {**WEB, "creationTimestamp": CREATED},
            "spec": {"template": template, **more},
            "status": {"printableStatus": status, "conditions": [condition, other]},
        }
    )


def shown(machine: VirtualMachine) -> dict[str, list[tuple[dict[str, str], float]]]:
    made = families([Machine.of(machine)])
    return {
        family.name.removeprefix("kubevirt_vm_"): [(sample.labels, sample.value) for sample in family.samples]
        for family in made
    }


def test_a_machine_is_described() -> None:
    info = {"os": "fedora", "workload": "server", "machine_type": "q35"}
    (found,) = shown(vm(instancetype={"name": "u1.small"}, preference={"name": "fedora"}))["info"]
    state = {"status": "running", "status_group": "running"}
    assert found == ({**WEB, **info, "instance_type": "u1.small", "preference": "fedora", **state}, 1)
    assert shown(vm())["create_date_timestamp_seconds"] == [(WEB, 1767225600)]


def test_each_word_that_a_virtual_machines_status_may_have_is_in_a_group() -> None:
    returned = (
        node.value for node in ast.walk(ast.parse(inspect.getsource(printable))) if isinstance(node, ast.Return)
    )
    branches = (
        part for value in returned for part in ([value.body, value.orelse] if isinstance(value, ast.IfExp) else [value])
    )
    words = {part.value for part in branches if isinstance(part, ast.Constant) and part.value} | {*printable._PULLING}
    assert {"Running", "Stopped", "ErrorUnschedulable", "ErrImagePull"} < words
    for word in words:
        (labels, _) = shown(vm(word))["info"][0]
        assert labels["status_group"] != "<unknown>", word


@pytest.mark.parametrize(
    ("status", "group"),
    [
        ("Starting", "starting"),
        ("WaitingForVolumeBinding", "starting"),
        ("Running", "running"),
        ("Migrating", "migrating"),
        ("Paused", "non_running"),
        ("Terminating", "non_running"),
        ("CrashLoopBackOff", "error"),
        ("ErrorUnschedulable", "error"),
    ],
)
def test_the_time_of_the_last_change_is_in_the_metric_of_the_current_group(status: str, group: str) -> None:
    found = shown(vm(status))
    times = {name: values for name, values in found.items() if "last_transition" in name}
    assert len(times) == 5
    ((_, changed),) = times.pop(f"{group}_status_last_transition_timestamp_seconds")
    assert changed == 1767225603
    assert all(values == [(WEB, 0)] for values in times.values())
    assert (found["info"][0][0]["status"], found["info"][0][0]["status_group"]) == (status.lower(), group)


def test_types_are_kubevirts() -> None:
    types = {family.name: type(family).__name__ for family in families([Machine.of(vm())])}
    assert {name for name, kind in types.items() if kind == "NamedCounter"} == {
        f"kubevirt_vm_{group}_status_last_transition_timestamp_seconds"
        for group in ("starting", "running", "migrating", "non_running", "error")
    }


def test_requests_and_limits_are_those_of_the_template() -> None:
    found = shown(vm())
    requests = {
        (labels["resource"], labels["unit"], labels["source"]): value for labels, value in found["resource_requests"]
    }
    assert requests == {
        ("memory", "bytes", "domain"): 2 << 30,
        ("memory", "bytes", "guest"): 1 << 30,
        ("memory", "bytes", "hugepages"): 2 << 20,
        ("cpu", "cores", "requests"): 1.5,
        ("cpu", "cores", "domain"): 2,
        ("cpu", "sockets", "domain"): 3,
    }
    limits = [(labels["resource"], labels["unit"], value) for labels, value in found["resource_limits"]]
    assert limits == [("memory", "bytes", 4 << 30), ("cpu", "cores", 2)]


def test_a_template_without_cpus_has_kubevirts_default_and_one_with_an_instance_type_none() -> None:
    plain = shown(vm(domain={}))["resource_requests"]
    assert [(labels["unit"], labels["source"], value) for labels, value in plain] == [
        ("cores", "default", 1),
        ("threads", "default", 1),
        ("sockets", "default", 1),
    ]
    typed = shown(vm(instancetype={"name": "u1.small"}))
    assert typed["resource_requests"] == typed["resource_limits"] == []


def test_odd_objects_are_shown_as_far_as_they_are_understood() -> None:
    odd = shown(vm("New", domain={"memory": {"guest": "much"}, "cpu": {}}))
    assert odd["resource_requests"] == [] and odd["info"][0][0]["status_group"] == "<unknown>"
    broken = shown(vm(domain="none"))
    assert broken["info"][0][0] == {**WEB, "status": "running", "status_group": "running"}
