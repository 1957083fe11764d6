"""Refused machines, with field, value and what is allowed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubevirt.launcher.v1 import machine_pb2
from virt_core.rpc.errors import InvalidField
from virt_launcher.machine.validation.machine import validate

from tests.unit.launcher.small_machine import machine


def whole() -> machine_pb2.Machine:
    """A valid machine with something in every field that is looked at."""
    made = machine()
    made.bootloader = machine_pb2.BOOTLOADER_BIOS_SERIAL
    made.smbios.serial = "4711"
    made.clock.timezone = "America/Argentina/Buenos_Aires"
    made.clock.timers.add(
        name=machine_pb2.TIMER_NAME_RTC,
        present=True,
        tick_policy=machine_pb2.TICK_POLICY_CATCHUP,
        track=machine_pb2.TIMER_TRACK_GUEST,
    )
    made.clock.timers.add(name=machine_pb2.TIMER_NAME_HPET, present=False)
    made.features.acpi = made.features.apic = made.features.apic_eoi = True
    made.cpu_model.name = "EPYC-v4"
    made.cpu_model.features.add(name="svm", policy=machine_pb2.CPU_FEATURE_POLICY_DISABLE)
    made.hugepage_bytes = 2 << 20
    made.inputs.add(type=machine_pb2.INPUT_TYPE_TABLET, bus=machine_pb2.INPUT_BUS_USB)
    made.display.socket_path = "/run/vnc"
    made.watchdog.model, made.watchdog.action = machine_pb2.WATCHDOG_MODEL_I6300ESB, machine_pb2.WATCHDOG_ACTION_RESET
    made.interfaces[0].acpi_index, made.interfaces[0].boot_order = 1, 1
    made.interfaces[0].dhcp.routes.add(destination="0.0.0.0", prefix_length=0, router="10.0.2.1")
    for folder in ("/secrets/keys", "/secrets/passwords"):
        made.access_credentials.add(folder=folder)
    made.access_credentials[0].authorized_keys.users.append("core")
    made.access_credentials[1].user_passwords.SetInParent()
    return made


def test_good_machines_are_valid() -> None:
    validate(machine())
    validate(whole())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("uid", ""),
        ("accelerator", machine_pb2.ACCELERATOR_UNSPECIFIED),
        ("machine_type", "virt"),
        ("machine_type", 'q35"/><x'),
        ("cpu.cores", 0),
        ("memory_bytes", 0),
        ("memory_bytes", (128 << 20) + 4096),
        ("firmware_uuid", "no uuid"),
        ("kernel_boot.kernel_path", "boot/vmlinuz"),
        ("kernel_boot.command_line", "a\nb"),
        ("serial_console.socket_path", "/" + "x" * 107),
        ("bootloader", 99),
        ("smbios.serial", "a\x00b"),
        ("smbios.chassis_asset", "x" * 257),
        ("cpu_model.name", "host model"),
        ("cpu_model.features[0].name", "aes,"),
        ("cpu_model.features[0].policy", 99),
        ("clock.timezone", "../../etc/passwd"),
        ("clock.timezone", "/etc/localtime"),
        ("clock.utc_offset_seconds", 60),
        ("clock.timers[0].name", 99),
        ("clock.timers[1].name", machine_pb2.TIMER_NAME_RTC),
        ("clock.timers[0].tick_policy", 99),
        ("clock.timers[1].track", machine_pb2.TIMER_TRACK_GUEST),
        ("features.apic_eoi", True),
        ("hugepage_bytes", 4096),
        ("inputs[0].type", 0),
        ("inputs[0].bus", 99),
        ("display.socket_path", "vnc"),
        ("display.card", 0),
        ("watchdog.model", 2),
        ("watchdog.action", 0),
        ("access_credentials[0].folder", "secrets"),
        ("access_credentials[1].folder", "/secrets/../etc"),
        ("interfaces[0].mac_address", "52:54:00:00:00:0g"),
        ("interfaces[0].model", 99),
        ("interfaces[0].tap_device", "../tap"),
        ("interfaces[0].mtu", 70000),
        ("interfaces[0].acpi_index", 16384),
        ("interfaces[0].boot_order", 65536),
        ("interfaces[0].dhcp.bridge_device", "a-name-that-is-too-long"),
        ("interfaces[0].dhcp.client_address", "10.0.2"),
        ("interfaces[0].dhcp.router_address", "fe80::1"),
        ("interfaces[0].dhcp.prefix_length", 33),
        ("interfaces[0].dhcp.hostname", "a b"),
        ("interfaces[0].dhcp.routes[0].destination", "default"),
        ("interfaces[0].dhcp.routes[0].router", ""),
        ("interfaces[0].dhcp.routes[0].prefix_length", 33),
    ],
)
def test_bad_value_is_refused_by_field(path: str, value: object) -> None:
    made = whole()
    if path == "features.apic_eoi":
        made.features.apic = False
    *parents, last = path.split(".")
    target: Any = made
    for parent in parents:
        name, _, index = re.sub(r"\]$", "", parent).partition("[")
        target = getattr(target, name)[int(index)] if index else getattr(target, name)
    setattr(target, last, value)
    with pytest.raises(InvalidField) as invalid:
        validate(made)
    assert invalid.value.field == f"machine.{path}"
    assert repr(value) in invalid.value.message


@pytest.mark.parametrize("user", ["", "a\nb", "root:x", "x" * 129])
def test_a_name_that_is_no_users_is_refused(user: str) -> None:
    made = whole()
    made.access_credentials[0].authorized_keys.users.append(user)
    with pytest.raises(InvalidField) as invalid:
        validate(made)
    assert invalid.value.field == "machine.access_credentials[0].authorized_keys.users[1]"


def test_a_credential_without_users_or_kind_is_refused() -> None:
    made = whole()
    del made.access_credentials[0].authorized_keys.users[:]
    with pytest.raises(InvalidField, match=r"access_credentials\[0\].authorized_keys.users"):
        validate(made)
    made.access_credentials[0].ClearField("authorized_keys")
    with pytest.raises(InvalidField, match=r"access_credentials\[0\].kind"):
        validate(made)


@pytest.mark.parametrize("field", ["mac_address", "tap_device", "acpi_index", "boot_order"])
def test_two_cards_do_not_share(field: str) -> None:
    made = whole()
    second = made.interfaces.add()
    second.CopyFrom(made.interfaces[0])
    second.mac_address, second.tap_device, second.acpi_index, second.boot_order = "52:54:00:00:00:02", "tap1", 2, 2
    validate(made)
    setattr(second, field, getattr(made.interfaces[0], field))
    with pytest.raises(InvalidField) as invalid:
        validate(made)
    assert invalid.value.field == f"machine.interfaces[1].{field}"


def test_disk_and_card_do_not_boot_first_both() -> None:
    made = whole()
    made.disks.add(name="root", boot_order=1)
    with pytest.raises(InvalidField, match="boot_order: 1 is not allowed"):
        validate(made)


def test_firmware_does_not_speak_on_a_port_that_is_not_there() -> None:
    made = whole()
    made.ClearField("serial_console")
    with pytest.raises(InvalidField, match=r"machine\.bootloader: 'BIOS_SERIAL'"):
        validate(made)


def test_many_queues_are_virtios_alone() -> None:
    made = whole()
    made.interfaces[0].multiqueue = True
    validate(made)
    made.interfaces[0].model = machine_pb2.NETWORK_CARD_MODEL_E1000E
    with pytest.raises(InvalidField, match="multiqueue"):
        validate(made)


@given(st.text(max_size=40))
def test_no_text_that_ends_in_xml_escapes_its_check(text: str) -> None:
    """Whatever passes is one line of printable ASCII."""
    for path in ("clock.timezone", "cpu_model.name", "smbios.family"):
        made = whole()
        parent, last = path.split(".")
        setattr(getattr(made, parent), last, text)
        try:
            validate(made)
        except InvalidField:
            continue
        assert all(0x20 <= ord(character) <= 0x7E for character in text)
