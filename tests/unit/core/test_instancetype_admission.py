"""Which instance types and preferences are stored."""

from __future__ import annotations

from typing import Any

import pytest
from virt_core.instancetype.admission import admit, deprecations
from virt_core.instancetype.matcher import Role

from tests.samples.instancetypes import instancetype, preference


def refused(role: Role, body: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, str]:
    """The refusals by field."""
    return {refusal.field: refusal.message for refusal in admit(role, body, old)}


def of_instancetype(**spec: Any) -> dict[str, str]:
    return refused(Role.INSTANCETYPE, instancetype(**spec))


def of_preference(**spec: Any) -> dict[str, str]:
    return refused(Role.PREFERENCE, preference(**spec))


def test_what_can_be_run_is_stored() -> None:
    assert of_instancetype() == {}
    cpu = {"guest": 64, "model": "host-model", "dedicatedCPUPlacement": False, "isolateEmulatorThread": False}
    memory = {"guest": "2Gi", "hugepages": {"pageSize": "2Mi"}}
    placement = {"nodeSelector": {"example.com/zone": "a"}, "schedulerName": "mine", "annotations": {"a": "b"}}
    assert of_instancetype(cpu=cpu, memory=memory, **placement) == {}
    assert of_preference() == {}
    devices = {
        "preferredDiskBus": "virtio",
        "preferredCdromBus": "scsi",
        "preferredLunBus": "scsi",
        "preferredInterfaceModel": "virtio",
        "preferredInputBus": "virtio",
        "preferredInputType": "tablet",
        "preferredDiskDedicatedIoThread": True,
        "preferredDiskBlockSize": {"custom": {"logical": 4096, "physical": 4096}},
        "preferredRng": {},
        "preferredTPM": {"enabled": False},
    }
    firmware = {"preferredEfi": {"secureBoot": False}}
    requirements = {"cpu": {"guest": 1}, "memory": {"guest": "1Gi"}, "architecture": "s390x"}
    assert of_preference(devices=devices, firmware=firmware, requirements=requirements) == {}
    assert of_preference(firmware={"preferredUseEfi": True, "preferredUseSecureBoot": False}) == {}


def test_what_is_null_or_an_empty_list_is_not_set() -> None:
    assert of_instancetype(gpus=[], hostDevices=None, ioThreadsPolicy=None) == {}
    assert of_preference(features=None, devices={"preferredSoundModel": None}) == {}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"gpus": [{"name": "g"}]}, "gpus"),
        ({"hostDevices": [{"name": "g"}]}, "hostDevices"),
        ({"ioThreads": {"supplementalPoolThreadCount": 2}}, "ioThreads"),
        ({"ioThreadsPolicy": "auto"}, "ioThreadsPolicy"),
        ({"launchSecurity": {}}, "launchSecurity"),
        ({"cpu": {"guest": 1, "maxSockets": 2}}, "cpu.maxSockets"),
        ({"cpu": {"guest": 1, "numa": {}}}, "cpu.numa"),
        ({"cpu": {"guest": 1, "realtime": {}}}, "cpu.realtime"),
        ({"cpu": {"guest": 1, "dedicatedCPUPlacement": True}}, "cpu.dedicatedCPUPlacement"),
        ({"cpu": {"guest": 1, "isolateEmulatorThread": True}}, "cpu.isolateEmulatorThread"),
        ({"cpu": {"guest": 1, "model": "no model"}}, "cpu.model"),
        ({"cpu": {"guest": 0}}, "cpu.guest"),
        ({"cpu": {"guest": 65}}, "cpu.guest"),
        ({"cpu": {}}, "cpu.guest"),
        ({"memory": {}}, "memory.guest"),
        ({"memory": {"guest": "much"}}, "memory.guest"),
        ({"memory": {"guest": "1Mi"}}, "memory.guest"),
        ({"memory": {"guest": "1Gi", "maxGuest": "2Gi"}}, "memory.maxGuest"),
        ({"memory": {"guest": "1Gi", "hugepages": {"pageSize": "3Mi"}}}, "memory.hugepages.pageSize"),
        ({"memory": {"guest": "1Gi", "overcommitPercent": -1}}, "memory.overcommitPercent"),
        ({"memory": {"guest": "1Gi", "overcommitPercent": 101}}, "memory.overcommitPercent"),
        (
            {"memory": {"guest": "1Gi", "overcommitPercent": 50, "hugepages": {"pageSize": "2Mi"}}},
            "memory.overcommitPercent",
        ),
        ({"nodeSelector": {"no key": "a"}}, "nodeSelector"),
        ({"schedulerName": "No Name"}, "schedulerName"),
        ({"annotations": {"no name": "x"}}, "annotations"),
        ({"annotations": {"hooks.kubevirt.io/hookSidecars": "[]"}}, "annotations.hooks.kubevirt.io/hookSidecars"),
    ],
)
def test_an_instance_type_that_no_guest_can_have_is_refused_by_field(spec: dict[str, Any], field: str) -> None:
    assert set(of_instancetype(**spec)) == {f"spec.{field}"}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"features": {"preferredHyperv": {"relaxed": {}}}}, "features.preferredHyperv"),
        ({"devices": {"preferredPanicDeviceModel": "isa"}}, "devices.preferredPanicDeviceModel"),
        ({"devices": {"preferredSoundModel": "ich9"}}, "devices.preferredSoundModel"),
        ({"devices": {"preferredVirtualGPUOptions": {}}}, "devices.preferredVirtualGPUOptions"),
        ({"devices": {"preferredTPM": {}}}, "devices.preferredTPM.enabled"),
        ({"devices": {"preferredTPM": {"persistent": True}}}, "devices.preferredTPM.persistent"),
        ({"devices": {"preferredDiskBus": "ide"}}, "devices.preferredDiskBus"),
        ({"devices": {"preferredCdromBus": "virtio"}}, "devices.preferredCdromBus"),
        ({"devices": {"preferredLunBus": "sata"}}, "devices.preferredLunBus"),
        ({"devices": {"preferredDiskCache": "unsafe"}}, "devices.preferredDiskCache"),
        ({"devices": {"preferredDiskIO": "uring"}}, "devices.preferredDiskIO"),
        ({"devices": {"preferredDiskBlockSize": {"matchVolume": {}}}}, "devices.preferredDiskBlockSize.matchVolume"),
        ({"devices": {"preferredInputType": "keyboard"}}, "devices.preferredInputType"),
        ({"devices": {"preferredInputBus": "ps2"}}, "devices.preferredInputBus"),
        ({"devices": {"preferredInterfaceModel": "ne2k_pci"}}, "devices.preferredInterfaceModel"),
        ({"firmware": {"preferredEfi": {}}}, "firmware.preferredEfi.secureBoot"),
        ({"firmware": {"preferredEfi": {"secureBoot": True}}}, "firmware.preferredEfi.secureBoot"),
        (
            {"firmware": {"preferredEfi": {"secureBoot": False, "persistent": True}}},
            "firmware.preferredEfi.persistent",
        ),
        ({"firmware": {"preferredUseEfi": True}}, "firmware.preferredUseSecureBoot"),
        ({"firmware": {"preferredUseSecureBoot": True}}, "firmware.preferredUseSecureBoot"),
        ({"machine": {"preferredMachineType": "pc-i440fx"}}, "machine.preferredMachineType"),
        ({"clock": {"preferredTimer": {"hpet": {"tickPolicy": "never"}}}}, "clock.preferredTimer.hpet.tickPolicy"),
        ({"clock": {"preferredClockOffset": {"timezone": "../x"}}}, "clock.preferredClockOffset.timezone"),
        ({"cpu": {"preferredCPUFeatures": [{"name": "no feature"}]}}, "cpu.preferredCPUFeatures[0].name"),
        ({"cpu": {"preferredCPUTopology": "round"}}, "cpu.preferredCPUTopology"),
        ({"cpu": {"spreadOptions": {"across": "Sockets"}}}, "cpu.spreadOptions.across"),
        ({"cpu": {"spreadOptions": {"ratio": -1}}}, "cpu.spreadOptions.ratio"),
        ({"preferSpreadSocketToCoreRatio": -1}, "preferSpreadSocketToCoreRatio"),
        (
            {"cpu": {"preferredCPUTopology": "spread", "spreadOptions": {"across": "CoresThreads", "ratio": 4}}},
            "cpu.spreadOptions.ratio",
        ),
        ({"preferredArchitecture": "arm64"}, "preferredArchitecture"),
        ({"preferredSubdomain": "No Name"}, "preferredSubdomain"),
        ({"preferredTerminationGracePeriodSeconds": -1}, "preferredTerminationGracePeriodSeconds"),
        ({"requirements": {"memory": {"guest": "much"}}}, "requirements.memory.guest"),
        ({"requirements": {"cpu": {"guest": -1}}}, "requirements.cpu.guest"),
        ({"volumes": {"preferredStorageClassName": "fast"}}, "volumes"),
        ({"annotations": {"kubevirt.io/memfd": "false"}}, "annotations.kubevirt.io/memfd"),
    ],
)
def test_a_preference_that_no_guest_can_follow_is_refused_by_field(spec: dict[str, Any], field: str) -> None:
    assert set(of_preference(**spec)) == {f"spec.{field}"}


def test_a_deletion_or_an_unchanged_spec_is_admitted_whatever_the_spec_holds() -> None:
    bad = instancetype(gpus=[{"name": "g"}])
    assert refused(Role.INSTANCETYPE, bad, bad) == {}
    deleting = {**bad, "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert refused(Role.INSTANCETYPE, deleting, instancetype()) == {}
    assert refused(Role.INSTANCETYPE, bad, instancetype()) != {}


def test_an_older_name_of_a_topology_is_stored_with_a_warning() -> None:
    older = preference(cpu={"preferredCPUTopology": "preferCores"})
    assert refused(Role.PREFERENCE, older) == {}
    (warning,) = deprecations(Role.PREFERENCE, older)
    assert warning.startswith("PreferredCPUTopology preferCores is deprecated") and "use cores instead" in warning
    assert deprecations(Role.PREFERENCE, preference(cpu={"preferredCPUTopology": "cores"})) == []
    assert deprecations(Role.INSTANCETYPE, instancetype()) == []
