"""VirtualMachines with their instance type and preference written out."""

from __future__ import annotations

import copy
from typing import Any

from virt_core.instancetype.expand import expanded
from virt_core.instancetype.matcher import Chosen
from virt_core.objects.kubevirt import Configuration
from virt_core.vm.admission import admit

from tests.samples.instancetypes import instancetype, preference

CONFIGURATION = Configuration()
VM: dict[str, Any] = {
    "metadata": {"name": "web", "labels": {"a": "b"}},
    "spec": {
        "runStrategy": "Halted",
        "instancetype": {"name": "small"},
        "preference": {"name": "linux"},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"domain": {"devices": {}}, "volumes": [{"name": "root", "containerDisk": {"image": "i:1"}}]},
        },
    },
}


def test_one_that_names_neither_stays_as_it_is() -> None:
    vm = {**VM, "spec": {"template": VM["spec"]["template"]}}
    assert expanded(vm, Chosen(), CONFIGURATION).vm is vm


def test_the_template_gets_both_and_defaults_and_the_matchers_go() -> None:
    before = copy.deepcopy(VM)
    preferred = preference(devices={"preferredDiskBus": "virtio"}, annotations={"x": "y"})
    result = expanded(VM, Chosen(instancetype(2, "2Gi"), preferred), CONFIGURATION)
    assert before == VM and result.refusals == ()
    assert result.vm["metadata"] == VM["metadata"]
    assert set(result.vm["spec"]) == {"runStrategy", "template"}
    template = result.vm["spec"]["template"]
    assert template["metadata"] == {"labels": {"app": "web"}, "annotations": {"x": "y"}}
    domain = template["spec"]["domain"]
    assert (domain["cpu"]["sockets"], domain["memory"]["guest"]) == (2, "2Gi")
    assert domain["devices"]["disks"] == [{"name": "root", "disk": {"bus": "virtio"}}]
    assert domain["devices"]["interfaces"][0]["masquerade"] == {}
    assert domain["machine"] == {"type": "q35"} and template["spec"]["networks"]


def test_what_was_expanded_can_be_created() -> None:
    result = expanded(VM, Chosen(instancetype(2), preference()), CONFIGURATION)
    assert admit(result.vm, None, CONFIGURATION, is_own_account=False) == ()
    again = expanded(
        {**result.vm, "spec": {**result.vm["spec"], "preference": {"name": "linux"}}},
        Chosen(None, preference()),
        CONFIGURATION,
    )
    assert again.vm == result.vm


def test_conflicts_are_named() -> None:
    vm = copy.deepcopy(VM)
    vm["spec"]["template"]["spec"]["domain"]["cpu"] = {"cores": 2}
    (refusal,) = expanded(vm, Chosen(instancetype(), None), CONFIGURATION).refusals
    assert refusal.field == "spec.template.spec.domain.cpu.cores"
