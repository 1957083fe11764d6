"""Decoding of a VirtualMachineInstance's spec: unsupported fields are refused by their paths."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from virt_core.testing.patches import merge_patch
from virt_core.validation.refusal import UnsupportedSpec
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase, parse_spec
from virt_core.vmi.rules.check import check_spec
from virt_core.vmi.spec.domain import VmiSpec
from virt_core.vmi.spec.effective import effective_interfaces, effective_networks, guest_memory_bytes

MINIMAL: dict[str, Any] = {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}}
MASQUERADE = {"name": "default", "masquerade": {}}


def read(change: dict[str, Any]) -> VmiSpec:
    """The minimal spec with a merge patch, read and checked."""
    spec = parse_spec(msgspec.Raw(json.dumps(merge_patch(MINIMAL, change)).encode()))
    check_spec(spec, None)
    return spec


def domain(**change: Any) -> dict[str, Any]:
    return {"domain": change}


def kernel(**container: str) -> dict[str, Any]:
    return domain(firmware={"kernelBoot": {"container": {"image": "i", **container}}})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"utilityVolumes": []}, ["spec.utilityVolumes: is not supported"]),
        (domain(cpu={"numa": {}}), ["spec.domain.cpu.numa: is not supported"]),
        (domain(devices={"gpus": []}), ["spec.domain.devices.gpus: is not supported"]),
        (
            domain(devices={"interfaces": [{"name": "n", "sriov": {}}]}),
            ["spec.domain.devices.interfaces[0].sriov: is not supported"],
        ),
        (domain(cpu={"cores": "2"}), ["spec.domain.cpu.cores", "'2'", "an integer"]),
        ({"domain": None}, ["spec.domain: is missing"]),
        (domain(cpu={"cores": -1}), ["spec.domain.cpu.cores", "-1", "1 to 64"]),
        (domain(cpu={"sockets": 8, "cores": 8, "threads": 2}), ["spec.domain.cpu", "8x8x2", "at most 64"]),
        (domain(memory={"guest": "lots"}), ["spec.domain.memory.guest", "'lots'", "a quantity"]),
        (domain(memory={"guest": "1k"}), ["spec.domain.memory.guest", "'1k'", "at least 2Mi"]),
        (domain(memory=None), ["spec.domain.memory.guest", "a quantity"]),
        ({"architecture": "arm64"}, ["spec.architecture", "'arm64'", "amd64"]),
        ({"terminationGracePeriodSeconds": -1}, ["spec.terminationGracePeriodSeconds", "-1", "0 or more"]),
        (kernel(kernelPath="vmlinuz"), ["kernelBoot.container.kernelPath", "'vmlinuz'", "absolute"]),
        (kernel(kernelPath="/k", initrdPath="i"), ["kernelBoot.container.initrdPath", "'i'", "absolute"]),
        (domain(devices={"interfaces": [MASQUERADE, MASQUERADE]}), ["spec.domain.devices.interfaces", "one interface"]),
        (domain(devices={"interfaces": [{"name": "default"}]}), ["interfaces[0]", "masquerade: {}"]),
        (domain(devices={"interfaces": [{**MASQUERADE, "model": "rtl"}]}), ["interfaces[0].model", "'rtl'", "virtio"]),
        ({"networks": [{"name": "other", "pod": {}}]}, ["interfaces[0].name", "'default'", "other"]),
        ({"networks": [{"name": "default"}]}, ["spec.networks[0]", "pod: {}"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_refusals_name_path_value_and_what_is_allowed(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UnsupportedSpec) as refused:
        read(change)
    assert all(word in str(refused.value) for word in words), str(refused.value)


def test_a_minimal_spec_gets_masquerade_on_the_pod_network() -> None:
    spec = read({})
    assert [(interface.name, interface.masquerade is not None) for interface in effective_interfaces(spec)] == [
        ("default", True)
    ]
    assert [(network.name, network.pod is not None) for network in effective_networks(spec)] == [("default", True)]
    without = read(domain(devices={"autoattachPodInterface": False}))
    assert effective_interfaces(without) == ()
    assert effective_networks(without) == ()


def test_guest_memory_comes_from_the_first_field_that_is_set() -> None:
    resources = {"requests": {"memory": "32Mi"}, "limits": {"memory": "128Mi"}}
    assert guest_memory_bytes(read(domain(resources=resources))) == 64 << 20
    assert guest_memory_bytes(read(domain(memory=None, resources=resources))) == 32 << 20
    assert guest_memory_bytes(read(domain(memory=None, resources={"limits": {"memory": 1 << 21}}))) == 2 << 20


def test_a_reflector_can_hold_any_spec_and_foreign_status() -> None:
    body = {"metadata": {"name": "g"}, "spec": {"new": 1}, "status": {"phase": "Running", "foreign": [1]}}
    vmi = msgspec.json.decode(json.dumps(body), type=VirtualMachineInstance)
    assert vmi.status.phase is VmiPhase.RUNNING and vmi.raw_status["foreign"] == [1]


def test_a_status_can_be_replaced_and_is_an_object_or_does_not_decode() -> None:
    vmi = VirtualMachineInstance.of({"metadata": {"name": "g"}})
    assert vmi.raw_status == {}
    running = vmi.with_status({"phase": "Running"})
    assert (running.status.phase, running.key, vmi.raw_status) == (VmiPhase.RUNNING, vmi.key, {})
    for status in ([], "Running", None):
        with pytest.raises(msgspec.ValidationError, match="status is not an object"):
            VirtualMachineInstance.of({"metadata": {"name": "g"}, "status": status})


def test_a_decoded_status_is_remembered_for_a_pass_and_not_for_every_guest_of_a_cluster() -> None:
    def guest(number: int) -> VirtualMachineInstance:
        metadata = {"name": f"guest{number}", "namespace": "ns"}
        return VirtualMachineInstance.of({"metadata": metadata, "spec": {}, "status": {"nodeName": f"node{number}"}})

    first = guest(0)
    status = first.status
    assert first.status is status
    others = [guest(number) for number in range(1, 1000)]
    assert [other.status.node_name for other in others] == [f"node{number}" for number in range(1, 1000)]
    assert first.status == status and first.status is not status


def test_of_a_guest_only_the_status_that_was_looked_at_last_is_remembered() -> None:
    first = VirtualMachineInstance.of({"metadata": {"name": "g", "namespace": "ns"}, "status": {"nodeName": "node0"}})
    status = first.status
    assert first.with_status({"nodeName": "node1"}).status.node_name == "node1"
    assert first.status == status and first.status is not status


def test_statuses_are_looked_at_in_several_threads() -> None:
    def looks(part: int) -> bool:
        """As a scrape of all guests does, beside the loop."""
        guests = [
            VirtualMachineInstance.of({"metadata": {"name": f"g{part}-{number}"}, "status": {"nodeName": str(number)}})
            for number in range(500)
        ]
        rounds = [[guest.status.node_name for guest in guests] for _ in range(8)]
        return rounds == [[str(number) for number in range(500)]] * 8

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(looks, range(4)))
    finally:
        sys.setswitchinterval(before)
