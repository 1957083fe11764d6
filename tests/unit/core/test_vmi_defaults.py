"""Defaults that are stored of a minimal VirtualMachineInstance."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from virt_core.objects.kubevirt import ArchitectureConfiguration, ArchitectureConfigurations, Configuration
from virt_core.testing.patches import merge_patch
from virt_core.vmi.defaults import defaulted, defaults_patch
from virt_core.vmi.instance import read_spec
from virt_core.vmi.spec.effective import (
    effective_disks,
    effective_display,
    effective_inputs,
    effective_interfaces,
    effective_networks,
    effective_topology,
    empty_disk_bytes,
    guest_memory_bytes,
)

NONE = Configuration()


def vmi(**spec: Any) -> dict[str, Any]:
    minimal = {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}}
    return {"metadata": {"name": "g", "labels": {"a": "b"}}, "spec": merge_patch(minimal, spec)}


def test_a_minimal_object_gets_what_kubevirt_would_store_and_a_masqueraded_network() -> None:
    stored = defaulted(vmi(), NONE)
    assert stored == {
        "metadata": {"name": "g", "labels": {"a": "b"}},
        "spec": {
            "architecture": "amd64",
            "domain": {
                "cpu": {"sockets": 1, "cores": 1, "threads": 1},
                "memory": {"guest": "64Mi"},
                "machine": {"type": "q35"},
                "devices": {"interfaces": [{"name": "default", "masquerade": {}}]},
            },
            "evictionStrategy": "None",
            "terminationGracePeriodSeconds": 30,
            "networks": [{"name": "default", "pod": {}}],
        },
    }


def test_storing_them_again_changes_nothing() -> None:
    stored = defaulted(vmi(volumes=[{"name": "v", "emptyDisk": {"capacity": "1Gi"}}]), NONE)
    assert defaulted(stored, NONE) == stored
    assert defaults_patch(stored, NONE) == []


def test_a_volume_without_a_disk_gets_one_behind_those_that_are_named() -> None:
    claim = {"persistentVolumeClaim": {"claimName": "c"}}
    disks = [{"name": "b", "cdrom": {}, "bootOrder": 1}, {"name": "c", "disk": {"bus": "virtio"}}]
    body = vmi(domain={"devices": {"disks": disks}}, volumes=[{"name": name, **claim} for name in "abc"])
    assert defaulted(body, NONE)["spec"]["domain"]["devices"]["disks"] == [
        {"name": "b", "cdrom": {"bus": "sata", "readonly": True, "tray": "closed"}, "bootOrder": 1},
        {"name": "c", "disk": {"bus": "virtio"}},
        {"name": "a", "disk": {"bus": "sata"}},
    ]


@pytest.mark.parametrize(
    ("domain", "topology"),
    [
        ({"cpu": {"cores": 2}}, (1, 2, 1)),
        ({"resources": {"requests": {"cpu": "1500m"}}}, (2, 1, 1)),
        ({"resources": {"requests": {"cpu": 1}, "limits": {"cpu": "3"}}}, (3, 1, 1)),
        ({"cpu": {"threads": 2}, "resources": {"limits": {"cpu": "3"}}}, (1, 1, 2)),
        ({"resources": {"limits": {"cpu": 0}}}, (1, 1, 1)),
        ({"cpu": {"sockets": 0}, "resources": {"limits": {"cpu": 2}}}, (2, 1, 1)),
    ],
)
def test_sockets_follow_the_cpu_limit_or_request_unless_a_topology_is_set(
    domain: dict[str, Any], topology: tuple[int, int, int]
) -> None:
    cpu = defaulted(vmi(domain=domain), NONE)["spec"]["domain"]["cpu"]
    assert (cpu["sockets"], cpu["cores"], cpu["threads"]) == topology


@pytest.mark.parametrize(
    ("domain", "guest"),
    [
        ({"memory": None, "resources": {"requests": {"memory": "32Mi"}, "limits": {"memory": "64Mi"}}}, "32Mi"),
        ({"memory": None, "resources": {"limits": {"memory": 67108864}}}, 67108864),
        ({"memory": {"guest": None, "hugepages": {"pageSize": "1Gi"}}}, "1Gi"),
    ],
)
def test_guest_memory_is_the_request_the_limit_or_a_huge_page(domain: dict[str, Any], guest: object) -> None:
    assert defaulted(vmi(domain=domain), NONE)["spec"]["domain"]["memory"]["guest"] == guest


def test_machine_type_and_cpu_model_are_the_clusters() -> None:
    amd64 = ArchitectureConfigurations(ArchitectureConfiguration(machine_type="pc-q35-7.2"))
    configured = Configuration(machine_type="q35", cpu_model="Haswell", architecture_configuration=amd64)
    domain = defaulted(vmi(), configured)["spec"]["domain"]
    assert (domain["machine"], domain["cpu"]["model"]) == ({"type": "pc-q35-7.2"}, "Haswell")


def test_the_eviction_strategy_is_the_clusters_unless_the_machine_has_its_own() -> None:
    configured = Configuration(eviction_strategy="LiveMigrate")
    assert defaulted(vmi(), configured)["spec"]["evictionStrategy"] == "LiveMigrate"
    assert defaulted(vmi(evictionStrategy="None"), configured)["spec"]["evictionStrategy"] == "None"


def test_devices_and_probes_get_kubevirts_values() -> None:
    image = {"image": "registry:5000/guest"}
    devices = {
        "watchdog": {"name": "w", "i6300esb": {}},
        "inputs": [{"name": "t", "type": "tablet"}],
        "interfaces": [{"name": "net", "bridge": {}}],
    }
    body = vmi(
        domain={"devices": devices},
        volumes=[{"name": "v", "containerDisk": image}],
        readinessProbe={"guestAgentPing": {}, "periodSeconds": 7},
    )
    spec = defaulted(body, NONE)["spec"]
    assert spec["domain"]["devices"]["watchdog"]["i6300esb"] == {"action": "reset"}
    assert spec["domain"]["devices"]["inputs"] == [{"name": "t", "type": "tablet", "bus": "usb"}]
    assert spec["domain"]["devices"]["interfaces"] == [{"name": "net", "bridge": {}}]
    assert spec["networks"] == [{"name": "net", "pod": {}}]
    assert spec["volumes"][0]["containerDisk"] == {**image, "imagePullPolicy": "Always"}
    assert spec["readinessProbe"] == {
        "guestAgentPing": {}, "periodSeconds": 7, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("h:5000/a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("a@s:1", "IfNotPresent"),
    ],
)
def test_an_image_that_may_change_behind_its_name_is_always_pulled(image: str, policy: str) -> None:
    volumes = [{"name": "v", "containerDisk": {"image": image}}]
    spec = defaulted(vmi(volumes=volumes), NONE)["spec"]
    assert spec["volumes"][0]["containerDisk"]["imagePullPolicy"] == policy


def test_refused_objects_and_arguments_stay_unchanged() -> None:
    refused = vmi(utilityVolumes=[])
    assert defaulted(refused, NONE) == refused
    assert defaulted({"spec": "junk"}, NONE) == {"spec": "junk"}
    body = vmi(architecture="amd64", terminationGracePeriodSeconds=0, evictionStrategy="LiveMigrateIfPossible")
    before = copy.deepcopy(body)
    spec = defaulted(body, NONE)["spec"]
    assert body == before
    assert (spec["terminationGracePeriodSeconds"], spec["evictionStrategy"]) == (0, "LiveMigrateIfPossible")


def test_the_patch_puts_the_spec_in_place_and_removes_a_status_that_a_new_object_cannot_have() -> None:
    body = {**vmi(), "status": {"phase": "Running"}}
    stored = defaulted(vmi(), NONE)
    assert defaults_patch(body, NONE) == [
        {"op": "remove", "path": "/status"},
        {"op": "add", "path": "/spec", "value": stored["spec"]},
    ]


def test_the_effective_machine_is_the_same_whether_defaults_were_stored_or_not() -> None:
    volumes = [{"name": "a", "emptyDisk": {"capacity": "1500k"}}, {"name": "b", "configMap": {"name": "c"}}]
    body = vmi(
        domain={"devices": {"disks": [{"name": "b", "cdrom": {}}], "autoattachInputDevice": True}}, volumes=volumes
    )
    plain, stored = read_spec(body["spec"]), read_spec(defaulted(body, NONE)["spec"])
    for effective in (effective_topology, guest_memory_bytes, effective_networks, effective_inputs, effective_display):
        assert effective(plain) == effective(stored), effective.__name__
    assert effective_interfaces(plain) == effective_interfaces(stored)
    disks = effective_disks(plain)
    assert [(disk.name, disk.kind, disk.bus, disk.read_only) for disk in disks] == [
        ("b", "cdrom", "sata", True),
        ("a", "disk", "sata", False),
    ]
    assert [(disk.name, disk.bus) for disk in effective_disks(stored)] == [("b", "sata"), ("a", "sata")]
    assert empty_disk_bytes(disks[1].volume) == 2 << 20
