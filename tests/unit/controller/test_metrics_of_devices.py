"""virt-controller's metrics of cards, claims and launchers have KubeVirt's names and labels."""

from __future__ import annotations

from typing import Any

import pytest
from virt_controller.metrics.devices import families
from virt_controller.pod.resources import overhead_bytes
from virt_core.objects.kubevirt import Configuration
from virt_core.vm.virtual_machine import VirtualMachine
from virt_core.vmi.accepted import accept
from virt_core.vmi.instance import VirtualMachineInstance

WEB = {"name": "web", "namespace": "shop"}
NETWORKS = [{"name": "default", "pod": {}}]
CORE = {"vnic_name": "default", "binding_type": "core", "network": "pod networking"}
CLAIM = {"claimName": "disk-of-web", "volumeMode": "Block", "requests": {"storage": "10Gi"}}
NOTHING: list[Any] = []


def spec(*interfaces: Any, **domain: Any) -> dict[str, Any]:
    devices = {"interfaces": list(interfaces), "disks": [{"name": "root", "disk": {"bus": "virtio"}}]}
    volumes = [{"name": "root", "persistentVolumeClaim": {"claimName": "disk-of-web"}}]
    return {
        "domain": {"devices": devices, "memory": {"guest": "64Mi"}, **domain},
        "networks": NETWORKS if interfaces else [],
        "volumes": volumes,
    }


def vm(template: Any) -> VirtualMachine:
    return VirtualMachine.of({"metadata": WEB, "spec": {"template": {"spec": template}}, "status": {}})


def vmi(template: Any, phase: str = "Running", **status: Any) -> VirtualMachineInstance:
    return VirtualMachineInstance.of({"metadata": WEB, "spec": template, "status": {"phase": phase, **status}})


def shown(vms: list[VirtualMachine], vmis: list[VirtualMachineInstance]) -> dict[str, list[tuple[Any, float]]]:
    made = list(families(vms, vmis, Configuration()))
    assert {family.type for family in made} == {"gauge"}
    return {
        family.name.removeprefix("kubevirt_"): [(sample.labels, sample.value) for sample in family.samples]
        for family in made
    }


@pytest.mark.parametrize(
    ("interface", "labels"),
    [
        ({"masquerade": {}}, {"binding_name": "masquerade"}),
        ({"bridge": {}, "model": "e1000e"}, {"binding_name": "bridge", "model": "e1000e"}),
    ],
)
def test_the_cards_of_a_vm_and_of_its_guest_are_described(interface: Any, labels: dict[str, str]) -> None:
    body = spec({"name": "default", **interface})
    found = shown([vm(body)], [vmi(body)])
    assert found["vm_vnic_info"] == [({**WEB, **CORE, "model": "<none>", **labels}, 1)]
    assert found["vmi_vnic_info"] == [({**WEB, **CORE, "model": "virtio", **labels}, 1)]


def test_a_guest_has_the_default_card_and_a_template_only_those_that_it_names() -> None:
    found = shown([vm(spec())], [vmi(spec())])
    assert found["vm_vnic_info"] == NOTHING
    ((labels, _),) = found["vmi_vnic_info"]
    assert labels["vnic_name"] == "default"


def test_a_card_is_shown_once_and_only_with_a_network() -> None:
    twice = spec({"name": "default", "masquerade": {}}, {"name": "default", "masquerade": {}}, {"name": "lost"})
    assert len(shown([vm(twice)], [])["vm_vnic_info"]) == 1


def test_the_size_of_a_claim_is_what_the_guest_says_that_was_requested() -> None:
    def sizes(*statuses: Any, phase: str = "Running") -> list[tuple[Any, float]]:
        guest = vmi(spec(), phase, volumeStatus=list(statuses))
        return shown([vm(spec())], [guest])["vm_disk_allocated_size_bytes"]

    labels = {**WEB, "persistentvolumeclaim": "disk-of-web", "volume_mode": "Block", "device": "root"}
    status = {"name": "root", "persistentVolumeClaimInfo": CLAIM}
    assert sizes(status, status) == [(labels, 10 << 30)]
    assert sizes({**status, "persistentVolumeClaimInfo": {**CLAIM, "requests": {"storage": "1G"}}})[0][1] == 10**9
    ((other, _),) = sizes({"name": "unused", "persistentVolumeClaimInfo": {**CLAIM, "volumeMode": None}})
    assert (other["device"], other["volume_mode"]) == ("<none>", "Filesystem")
    assert sizes(status, phase="Succeeded") == NOTHING
    for nonsense in ("x", {"name": "root"}, {**status, "persistentVolumeClaimInfo": {"requests": {"storage": "x"}}}):
        assert sizes(nonsense) == NOTHING
    assert shown([vm(spec())], [])["vm_disk_allocated_size_bytes"] == NOTHING


def test_what_a_launcher_needs_grows_with_the_guest_and_ends_with_it() -> None:
    def needed(body: Any, phase: str = "Running") -> list[tuple[Any, float]]:
        return shown([], [vmi(body, phase)])["vmi_launcher_memory_overhead_bytes"]

    small, large = spec(cpu={"cores": 1}), spec(cpu={"cores": 8})
    assert needed(small) == [(WEB, overhead_bytes(accept(small, Configuration()), Configuration()))]
    assert needed(large)[0][1] > needed(small)[0][1]
    assert needed(small, "Failed") == NOTHING


def test_a_spec_that_nobody_accepts_is_left_out() -> None:
    found = shown([vm("nonsense")], [vmi({"domain": {"unknown": 1}})])
    assert set(map(len, found.values())) == {0}
