"""What a preference makes of a template: it fills what is open and leaves what is set."""

from __future__ import annotations

from typing import Any

import pytest
from virt_core.instancetype.apply import apply
from virt_core.objects.paths import at, put

from tests.samples.instancetypes import preference

OPEN: dict[str, Any] = {"domain": {"devices": {"autoattachPodInterface": False}}}
EFI = ("domain", "firmware", "bootloader", "efi")
BIOS = ("domain", "firmware", "bootloader", "bios")


def preferred(spec: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The template's spec with a preference."""
    result = apply({"spec": spec}, None, preference(**fields))
    assert result.refusals == ()
    return result.template["spec"]  # type: ignore[no-any-return]


def devices(**fields: Any) -> dict[str, Any]:
    return {"devices": fields}


PLAIN = [
    (devices(preferredAutoattachGraphicsDevice=False), "domain.devices.autoattachGraphicsDevice", True),
    (devices(preferredAutoattachInputDevice=False), "domain.devices.autoattachInputDevice", True),
    (devices(preferredAutoattachMemBalloon=False), "domain.devices.autoattachMemBalloon", True),
    (devices(preferredAutoattachPodInterface=False), "domain.devices.autoattachPodInterface", True),
    (devices(preferredAutoattachSerialConsole=False), "domain.devices.autoattachSerialConsole", True),
    (devices(preferredBlockMultiQueue=True), "domain.devices.blockMultiQueue", False),
    (devices(preferredNetworkInterfaceMultiQueue=True), "domain.devices.networkInterfaceMultiqueue", False),
    (devices(preferredRng={}), "domain.devices.rng", {"own": 1}),
    (devices(preferredTPM={"enabled": False}), "domain.devices.tpm", {"enabled": True}),
    (devices(preferredUseVirtioTransitional=True), "domain.devices.useVirtioTransitional", False),
    ({"features": {"preferredApic": {"endOfInterrupt": True}}}, "domain.features.apic", {}),
    ({"features": {"preferredKvm": {"hidden": True}}}, "domain.features.kvm", {}),
    ({"features": {"preferredPvspinlock": {"enabled": False}}}, "domain.features.pvspinlock", {}),
    ({"features": {"preferredSmm": {}}}, "domain.features.smm", {"enabled": False}),
    ({"machine": {"preferredMachineType": "pc-q35-7.2"}}, "domain.machine.type", "q35"),
    ({"clock": {"preferredTimer": {"hpet": {"present": False}}}}, "domain.clock.timer", {}),
    ({"preferredSubdomain": "sub"}, "subdomain", "own"),
    ({"preferredTerminationGracePeriodSeconds": 0}, "terminationGracePeriodSeconds", 5),
]


def value_of(fields: Any) -> Any:
    """The innermost value under a field whose name begins with "preferred"."""
    ((name, value),) = fields.items()
    return value if name.startswith("preferred") else value_of(value)


@pytest.mark.parametrize(("fields", "path", "own"), PLAIN)
def test_an_open_field_is_filled_and_one_that_is_set_stays(fields: dict[str, Any], path: str, own: Any) -> None:
    target = tuple(path.split("."))
    assert at(preferred({"domain": {"devices": {}}}, **fields), target) == value_of(fields)
    assert at(preferred(put(OPEN, target, own), **fields), target) == own


@pytest.mark.parametrize(
    ("fields", "path", "own"),
    [
        (devices(preferredDisableHotplug=True), "domain.devices.disableHotplug", False),
        ({"features": {"preferredAcpi": {"enabled": False}}}, "domain.features.acpi", {"enabled": True}),
    ],
)
def test_fields_that_are_never_open_are_overwritten_as_in_kubevirt(fields: dict[str, Any], path: str, own: Any) -> None:
    target = tuple(path.split("."))
    assert at(preferred(put(OPEN, target, own), **fields), target) == value_of(fields)


def disk(own: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A disk after a preference for devices."""
    spec = put(OPEN, ("domain", "devices", "disks"), [{"name": "d", **own}])
    (found,) = preferred(spec, devices=fields)["domain"]["devices"]["disks"]
    assert found.pop("name") == "d"
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("own", "fields", "expected"),
    [
        ({}, {}, {"disk": {}}),
        ({}, {"preferredDiskBus": "virtio"}, {"disk": {"bus": "virtio"}}),
        ({"disk": {"bus": "sata"}}, {"preferredDiskBus": "virtio"}, {"disk": {"bus": "sata"}}),
        ({"cdrom": {}}, {"preferredDiskBus": "virtio", "preferredCdromBus": "scsi"}, {"cdrom": {"bus": "scsi"}}),
        ({"cdrom": {}}, {"preferredDiskCache": "none", "preferredDiskIO": "native"}, {"cdrom": {}}),
        ({"lun": {}}, {"preferredLunBus": "scsi"}, {"lun": {"bus": "scsi"}}),
        ({"disk": {}}, {"preferredDiskCache": "none"}, {"disk": {}, "cache": "none"}),
        ({"disk": {}, "cache": "writeback"}, {"preferredDiskCache": "none"}, {"disk": {}, "cache": "writeback"}),
        ({"disk": {}}, {"preferredDiskIO": "native"}, {"disk": {}, "io": "native"}),
        (
            {"disk": {}},
            {"preferredDiskBlockSize": {"custom": {"logical": 512, "physical": 4096}}},
            {"disk": {}, "blockSize": {"custom": {"logical": 512, "physical": 4096}}},
        ),
        (
            {},
            {"preferredDiskBus": "virtio", "preferredDiskDedicatedIoThread": True},
            {"disk": {"bus": "virtio"}, "dedicatedIOThread": True},
        ),
        ({"disk": {"bus": "sata"}}, {"preferredDiskDedicatedIoThread": True}, {"disk": {"bus": "sata"}}),
    ],
)
def test_disks_get_what_is_preferred_for_their_kind(
    own: dict[str, Any], fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert disk(own, **fields) == expected


def test_the_disk_of_a_volume_that_names_none_gets_it_too() -> None:
    spec = {**OPEN, "volumes": [{"name": "root"}, {"name": "data"}]}
    spec = put(spec, ("domain", "devices", "disks"), [{"name": "data", "cdrom": {}}])
    found = preferred(spec, **devices(preferredDiskBus="virtio"))["domain"]["devices"]["disks"]
    assert found == [{"name": "data", "cdrom": {}}, {"name": "root", "disk": {"bus": "virtio"}}]


def test_the_default_network_card_gets_the_preferred_model() -> None:
    spec = preferred({"domain": {"devices": {}}}, **devices(preferredInterfaceModel="e1000"))
    assert spec["domain"]["devices"]["interfaces"] == [{"name": "default", "masquerade": {}, "model": "e1000"}]
    assert spec["networks"] == [{"name": "default", "pod": {}}]


@pytest.mark.parametrize(
    ("own", "pod", "expected"),
    [({}, {"pod": {}}, {"masquerade": {}}), ({"bridge": {}}, {"pod": {}}, {"bridge": {}}), ({}, {"multus": {}}, {})],
)
def test_masquerade_is_for_unbound_cards_of_the_pod_network(own: Any, pod: Any, expected: Any) -> None:
    spec = put(OPEN, ("domain", "devices", "interfaces"), [{"name": "n", **own}])
    spec = {**spec, "networks": [{"name": "n", **pod}]}
    (card,) = preferred(spec, **devices(preferredInterfaceMasquerade={}))["domain"]["devices"]["interfaces"]
    assert card == {"name": "n", **expected}


def test_the_default_input_device_gets_the_preferred_bus() -> None:
    fields = devices(preferredAutoattachInputDevice=True, preferredInputBus="virtio", preferredInputType="tablet")
    assert preferred(OPEN, **fields)["domain"]["devices"]["inputs"] == [
        {"name": "default-0", "bus": "virtio", "type": "tablet"}
    ]
    own = put(OPEN, ("domain", "devices", "inputs"), [{"name": "mine", "bus": "usb", "type": "keyboard"}])
    assert preferred(own, **fields)["domain"]["devices"]["inputs"] == [
        {"name": "mine", "bus": "usb", "type": "keyboard"}
    ]


def test_cpu_features_are_added_by_name() -> None:
    own = put(OPEN, ("domain", "cpu", "features"), [{"name": "aes", "policy": "disable"}])
    wanted = [{"name": "aes"}, {"name": "vmx", "policy": "require"}]
    assert preferred(own, cpu={"preferredCPUFeatures": wanted})["domain"]["cpu"]["features"] == [
        {"name": "aes", "policy": "disable"},
        {"name": "vmx", "policy": "require"},
    ]


@pytest.mark.parametrize(
    ("own", "firmware", "bios", "efi"),
    [
        ({}, {"preferredUseBios": True}, {}, None),
        ({}, {"preferredUseBios": True, "preferredUseBiosSerial": True}, {"useSerial": True}, None),
        ({"bios": {"useSerial": False}}, {"preferredUseBiosSerial": True}, {"useSerial": False}, None),
        ({}, {"preferredUseBiosSerial": True}, None, None),
        ({}, {"preferredEfi": {"secureBoot": False}}, None, {"secureBoot": False}),
        ({"bios": {}}, {"preferredEfi": {"secureBoot": False}}, {}, None),
        ({"efi": {"secureBoot": False}}, {"preferredUseBios": True}, None, {"secureBoot": False}),
        ({}, {"preferredUseEfi": True, "preferredUseSecureBoot": False}, None, {"secureBoot": False}),
        ({"efi": {}}, {"preferredUseSecureBoot": False}, None, {"secureBoot": False}),
        ({}, {"preferredEfi": {}, "preferredUseSecureBoot": False}, None, {}),
    ],
)
def test_firmware_is_filled_in_where_the_template_chooses_none(own: Any, firmware: Any, bios: Any, efi: Any) -> None:
    spec = preferred(put(OPEN, ("domain", "firmware", "bootloader"), own), firmware=firmware)
    assert (at(spec, BIOS), at(spec, EFI)) == (bios, efi)


def test_a_clock_offset_is_not_mixed() -> None:
    offset = {"clock": {"preferredClockOffset": {"utc": {"offsetSeconds": 1}}}}
    assert preferred(OPEN, **offset)["domain"]["clock"] == {"utc": {"offsetSeconds": 1}}
    own = put(OPEN, ("domain", "clock"), {"timezone": "Europe/Berlin"})
    assert preferred(own, **offset)["domain"]["clock"] == {"timezone": "Europe/Berlin"}


def test_annotations_never_conflict() -> None:
    template = {"metadata": {"annotations": {"a": "mine"}}, "spec": OPEN}
    result = apply(template, None, preference(annotations={"a": "1", "b": "2"}))
    assert result.template["metadata"]["annotations"] == {"a": "mine", "b": "2"}
