"""Validation rules of a VirtualMachineInstance: each refusal has field, value and what is allowed, all at once."""

from __future__ import annotations

from typing import Any

import pytest
from virt_core.objects.kubevirt import ArchitectureConfiguration, ArchitectureConfigurations, Configuration
from virt_core.testing.patches import merge_patch
from virt_core.validation.refusal import UnsupportedSpec
from virt_core.vmi.accepted import accept

from tests.unit.core.spec_changes import (
    CLAIM,
    MASQUERADE,
    MINIMAL,
    POD,
    TEXT,
    Change,
    cidr,
    cloud,
    devices,
    disk,
    domain,
    efi,
    interface,
    probe,
    refusals,
    resources,
    uefi_kernel,
    volume,
)

ACCEPTED: dict[str, Change] = {
    "nothing": {},
    "topology": domain(cpu={"sockets": 2, "cores": 4, "threads": 2, "model": "host-model"}),
    "64 vCPUs": domain(cpu={"cores": 64}),
    "cpu features": domain(cpu={"features": [{"name": "aes"}, {"name": "vmx", "policy": "disable"}]}),
    "dedicated CPUs switched off": domain(cpu={"dedicatedCpuPlacement": False, "isolateEmulatorThread": False}),
    "requests and limits": resources(requests={"cpu": "500m", "memory": "64Mi"}, limits={"cpu": 1, "memory": "1Gi"}),
    "huge pages": domain(memory={"guest": "64Mi", "hugepages": {"pageSize": "2Mi"}}),
    "memory of one huge page": domain(memory={"guest": None, "hugepages": {"pageSize": "1Gi"}}),
    "machine types": domain(machine={"type": "pc-q35-7.2"}),
    "uefi": efi(secureBoot=False),
    "uefi and a kernel with the least memory": uefi_kernel("160Mi"),
    "bios": domain(
        firmware={"bootloader": {"bios": {"useSerial": True}}, "uuid": "5d307ca9-b3ef-428c-8861-06e72d69f223"}
    ),
    "chassis": domain(chassis={"manufacturer": "Some (one) Ltd.", "sku": "a/b-1"}),
    "an offset": domain(clock={"utc": {"offsetSeconds": -3600}, "timer": {"hpet": {"present": False}}}),
    "a time zone": domain(clock={"timezone": "America/Argentina/Buenos_Aires"}),
    "timers": domain(
        clock={"timer": {"rtc": {"tickPolicy": "catchup", "track": "guest"}, "pit": {"tickPolicy": "delay"}}}
    ),
    "features": domain(features={"acpi": {}, "apic": {"endOfInterrupt": True}, "kvm": {"hidden": True}, "smm": {}}),
    "no acpi": domain(features={"acpi": {"enabled": False}}),
    "a disk": disk(disk={"bus": "virtio", "readonly": True}, bootOrder=1, cache="none", io="native", serial="A.b_c-1+"),
    "a disk without a target": disk(),
    "a CD": disk(cdrom={"bus": "sata", "readonly": True, "tray": "open"}),
    "a lun": disk(lun={"bus": "scsi"}),
    "a shared claim": disk(disk={}, shareable=True, errorPolicy="report"),
    "an I/O thread": disk(disk={"bus": "virtio"}, dedicatedIOThread=True),
    "block sizes": disk(blockSize={"custom": {"logical": 512, "physical": 4096}}),
    "a volume without a disk": volume(**CLAIM),
    "a container disk": volume(containerDisk={"image": "registry:5000/a/b:tag@sha256:0123", "path": "/disk/a.img"}),
    "an empty disk": volume(emptyDisk={"capacity": "1Gi"}),
    "an ephemeral claim": volume(ephemeral=CLAIM),
    "inline cloud-init": cloud(userData="x" * 2048, networkDataBase64=TEXT),
    "cloud-init of a Secret": cloud(secretRef={"name": "s"}),
    "network data alone": cloud(networkData="version: 2"),
    "objects": {
        "volumes": [
            {"name": "a", "configMap": {"name": "a.b", "volumeLabel": "LABEL"}},
            {"name": "b", "secret": {"secretName": "s"}},
            {"name": "c", "serviceAccount": {"serviceAccountName": "default"}},
            {"name": "d", "downwardAPI": {"fields": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        ]
    },
    "a bridge": devices(interfaces=[{"name": "default", "bridge": {}, "model": "e1000e"}]),
    "an interface": interface(macAddress="02-00-00-00-00-0A", acpiIndex=3, state="down", bootOrder=2),
    "ports": interface(ports=[{"port": 53}, {"port": 53, "protocol": "UDP", "name": "dns"}]),
    "an own network": cidr("192.168.5.0/24"),
    "a watchdog": devices(watchdog={"name": "w", "i6300esb": {"action": "poweroff"}}),
    "a tablet": devices(inputs=[{"name": "tablet", "type": "tablet", "bus": "virtio"}]),
    "a card": devices(video={"type": "virtio"}),
    "tpm switched off": devices(tpm={"enabled": False}),
    "probes": {
        "livenessProbe": {"guestAgentPing": {}, "successThreshold": 1},
        "readinessProbe": {"tcpSocket": {"port": 22}, "periodSeconds": 5},
    },
    "a probe of a named port": {**interface(ports=[{"port": 80, "name": "http"}]), **probe(httpGet={"port": "http"})},
    "a command as probe": probe(exec={"command": ["cat", "/ready"]}),
    "scheduling": {"nodeSelector": {"example.com/disk": "ssd"}, "priorityClassName": "high", "schedulerName": "own"},
    "names": {"hostname": "web-1", "subdomain": "web"},
    "own name servers": {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.0.0.1"]}},
    "strategies": {"startStrategy": "Paused", "evictionStrategy": "LiveMigrateIfPossible"},
}


@pytest.mark.parametrize("change", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_this_release_does_is_accepted(change: Change) -> None:
    assert refusals(change) == ()


def test_all_problems_are_reported_at_once_and_the_exception_names_them() -> None:
    change = {**domain(cpu={"cores": 99}, machine={"type": "pc"}), "hostname": "A"}
    fields = {refusal.field for refusal in refusals(change)}
    assert fields >= {"spec.domain.cpu.cores", "spec.domain.machine.type", "spec.hostname"}
    with pytest.raises(UnsupportedSpec) as error:
        accept(merge_patch(MINIMAL, change), Configuration())
    assert all(field in str(error.value) for field in fields)


def test_a_long_value_is_not_repeated_whole() -> None:
    (refused,) = refusals({"hostname": "x" * 100_000})
    assert len(refused.message) < 300


def test_the_message_of_a_thousand_problems_has_an_end() -> None:
    disks = [{"name": f"d{number}", "cache": "x"} for number in range(1000)]
    with pytest.raises(UnsupportedSpec, match=r"and [0-9]+ more$") as error:
        accept(merge_patch(MINIMAL, devices(disks=disks)), Configuration())
    assert len(str(error.value)) < 32_000
    assert len(error.value.refusals) > 1000


def test_what_is_passed_on_is_not_nested_without_end() -> None:
    nested: Any = "x"
    for _ in range(900):
        nested = {"a": [nested]}
    probed = {"readinessProbe": {"httpGet": {"port": 80, "x": nested}}}
    for change in ({"affinity": nested}, {"tolerations": [nested]}, {"dnsConfig": nested}, probed):
        (refused,) = refusals(change)
        assert str(refused) == f"spec.{next(iter(change))}: 'nesting' is not allowed, use at most 32 levels"


def test_an_interface_and_a_network_that_do_not_fit_are_both_named() -> None:
    assert {str(refusal) for refusal in refusals(interface(name="other"))} == {
        "spec.domain.devices.interfaces[0].name: 'other' is not allowed, use the name of a network: default",
        "spec.networks[0].name: 'default' is not allowed, use the name of an interface",
    }


def test_more_networks_than_one_are_refused() -> None:
    networks = [POD, {"name": "second", "pod": {}}]
    interfaces = [MASQUERADE, {"name": "second", "bridge": {}}]
    found = {str(refusal) for refusal in refusals({**devices(interfaces=interfaces), "networks": networks})}
    assert found == {
        "spec.domain.devices.interfaces: '2 interfaces' is not allowed, use one interface",
        "spec.networks: '2 networks' is not allowed, use one network",
    }


def test_machine_types_are_those_of_the_cluster() -> None:
    newest = domain(machine={"type": "pc-q35-9.0"})
    assert not refusals(newest, Configuration(emulated_machines=["pc-q35-9.*"]))
    amd64 = ArchitectureConfigurations(ArchitectureConfiguration(emulated_machines=["pc-q35-7.*", "q35"]))
    (refused,) = refusals(newest, Configuration(architecture_configuration=amd64, emulated_machines=["*"]))
    assert "'pc-q35-9.0' is not allowed, use one of the cluster's emulatedMachines: pc-q35-7.*, q35" in str(refused)
