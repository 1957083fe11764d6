"""Machine → domain XML. Which machines never get that far is in test_validation.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubevirt.launcher.v1 import machine_pb2
from virt_launcher.domain.files import DomainFiles
from virt_launcher.domain.xml import domain_xml

from tests.samples.prepared_disks import prepared
from tests.unit.launcher.small_machine import machine

FILES = DomainFiles.below(Path("/private"))


def test_whole_machine() -> None:
    """Golden: a change here changes what running guests would be started as."""
    expected = """\
<domain type="qemu">
  <name>default_demo</name>
  <uuid>6a1f0d52-6a7a-4c9b-8d5e-1c2b3a4d5e6f</uuid>
  <title>default/demo</title>
  <memory unit="b">134217728</memory>
  <vcpu>6</vcpu>
  <os>
    <type arch="x86_64" machine="pc-q35-7.2">hvm</type>
    <kernel>/k</kernel>
    <initrd>/i</initrd>
    <cmdline>console=ttyS0</cmdline>
  </os>
  <features>
    <acpi />
    <apic />
    <tcg>
      <tb-cache unit="MiB">64</tb-cache>
    </tcg>
  </features>
  <cpu mode="custom" match="exact" check="none">
    <model fallback="forbid">qemu64</model>
    <topology sockets="2" dies="1" cores="3" threads="1" />
  </cpu>
  <clock offset="utc" />
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>preserve</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type="usb" model="none" />
    <interface type="ethernet">
      <mac address="52:54:00:00:00:01" />
      <target dev="tap0" managed="no" />
      <model type="virtio" />
      <driver name="qemu" />
      <mtu size="1450" />
      <rom enabled="no" />
    </interface>
    <serial type="unix">
      <source mode="bind" path="/run/s" />
      <log file="/run/l" append="on" />
      <target type="isa-serial" port="0" />
    </serial>
    <controller type="virtio-serial" index="0" model="virtio" />
    <channel type="unix">
      <source mode="bind" path="/private/guest-agent" />
      <target type="virtio" name="org.qemu.guest_agent.0" />
    </channel>
    <memballoon model="none" />
    <panic model="isa" />
  </devices>
</domain>"""
    tree = ET.fromstring(domain_xml(machine(), FILES))
    ET.indent(tree)
    assert ET.tostring(tree, encoding="unicode") == expected


def test_devices_that_were_not_requested_are_absent() -> None:
    incomplete = machine()
    for field in ("kernel_boot", "serial_console", "interfaces"):
        incomplete.ClearField(field)
    tree = ET.fromstring(domain_xml(incomplete, FILES))
    assert {child.tag for child in tree.iterfind("os/*")} == {"type"}
    found = {child.tag for child in tree.iterfind("devices/*")}
    assert found == {"emulator", "controller", "channel", "memballoon", "panic"}
    assert _get(tree, "devices/memballoon", "model") == _get(tree, "devices/controller[@type='usb']", "model") == "none"


@given(st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_no_command_line_becomes_an_element(line: str) -> None:
    made = machine()
    made.kernel_boot.command_line = line
    tree = ET.fromstring(domain_xml(made, FILES))
    assert (tree.findtext("os/cmdline") or "") == line
    assert len(list(tree.iter())) == len(list(ET.fromstring(domain_xml(machine(), FILES)).iter())) - (line == "")


def _tree(change: Callable[[machine_pb2.Machine], object]) -> ET.Element:
    made = machine()
    change(made)
    return ET.fromstring(domain_xml(made, FILES, prepared(made)))


def _get(tree: ET.Element, path: str, attribute: str) -> str | None:
    found = tree.findall(path)
    assert len(found) == 1, ET.tostring(tree)
    return found[0].get(attribute)


@pytest.mark.parametrize(
    ("accelerator", "name", "mode", "model"),
    [
        (machine_pb2.ACCELERATOR_KVM, "", "host-model", None),
        (machine_pb2.ACCELERATOR_KVM, "host-model", "host-model", None),
        (machine_pb2.ACCELERATOR_KVM, "host-passthrough", "host-passthrough", None),
        (machine_pb2.ACCELERATOR_KVM, "Haswell-noTSX", "custom", "Haswell-noTSX"),
        (machine_pb2.ACCELERATOR_EMULATION, "", "custom", "qemu64"),
        (machine_pb2.ACCELERATOR_EMULATION, "host-model", "custom", "qemu64"),
        (machine_pb2.ACCELERATOR_EMULATION, "host-passthrough", "custom", "qemu64"),
        (machine_pb2.ACCELERATOR_EMULATION, "Haswell-noTSX", "custom", "Haswell-noTSX"),
    ],
)
def test_cpu_is_the_named_one_or_what_the_accelerator_can_have_anywhere(
    accelerator: machine_pb2.Accelerator.ValueType, name: str, mode: str, model: str | None
) -> None:
    made = machine()
    made.accelerator, made.cpu_model.name = accelerator, name
    made.cpu_model.features.add(name="aes", policy=machine_pb2.CPU_FEATURE_POLICY_REQUIRE)
    tree = ET.fromstring(domain_xml(made, FILES))
    assert tree.get("type") == ("kvm" if accelerator == machine_pb2.ACCELERATOR_KVM else "qemu")
    assert (_get(tree, "cpu", "mode"), tree.findtext("cpu/model")) == (mode, model)
    assert _get(tree, "cpu/feature[@name='aes']", "policy") == "require"


def test_uefi_has_a_variable_store_of_the_machines_own() -> None:
    tree = _tree(lambda made: setattr(made, "bootloader", machine_pb2.BOOTLOADER_UEFI))
    assert (_get(tree, "os/loader", "type"), _get(tree, "os/loader", "readonly")) == ("pflash", "yes")
    assert tree.findtext("os/nvram") == "/private/firmware-variables.fd"
    assert _get(tree, "os/nvram", "template") == "/usr/share/OVMF/OVMF_VARS_4M.fd"


@pytest.mark.parametrize(
    ("bootloader", "card", "expected"),
    [
        (machine_pb2.BOOTLOADER_BIOS, None, "vga"),
        (machine_pb2.BOOTLOADER_BIOS_SERIAL, None, "vga"),
        (machine_pb2.BOOTLOADER_UEFI, None, "bochs"),
        (machine_pb2.BOOTLOADER_BIOS, machine_pb2.DISPLAY_CARD_VIRTIO, "virtio"),
    ],
)
def test_display_has_the_card_that_its_firmware_knows(
    bootloader: machine_pb2.Bootloader.ValueType, card: machine_pb2.DisplayCard.ValueType | None, expected: str
) -> None:
    made = machine()
    made.bootloader = bootloader
    made.display.CopyFrom(machine_pb2.Display(socket_path="/run/vnc", card=card))
    tree = ET.fromstring(domain_xml(made, FILES))
    assert _get(tree, "devices/video/model", "type") == expected
    assert _get(tree, "devices/graphics/listen", "socket") == "/run/vnc"


def test_usb_controller_only_for_usb_devices() -> None:
    def model(change: Callable[[machine_pb2.Machine], object]) -> str | None:
        return _get(_tree(change), "devices/controller[@type='usb']", "model")

    assert (
        model(lambda made: made.inputs.add(type=machine_pb2.INPUT_TYPE_TABLET, bus=machine_pb2.INPUT_BUS_VIRTIO))
        == "none"
    )
    assert (
        model(lambda made: made.inputs.add(type=machine_pb2.INPUT_TYPE_TABLET, bus=machine_pb2.INPUT_BUS_USB))
        == "qemu-xhci"
    )
    assert (
        model(lambda made: made.disks.add(name="d", device=machine_pb2.DISK_DEVICE_DISK, bus=machine_pb2.DISK_BUS_USB))
        == "qemu-xhci"
    )


def test_clock_shows_the_requested_time() -> None:
    offset = _tree(lambda made: setattr(made.clock, "utc_offset_seconds", -3600))
    assert (_get(offset, "clock", "offset"), _get(offset, "clock", "adjustment")) == ("variable", "-3600")
    zone = _tree(lambda made: setattr(made.clock, "timezone", "Europe/Berlin"))
    assert (_get(zone, "clock", "offset"), _get(zone, "clock", "timezone")) == ("timezone", "Europe/Berlin")


def test_timers_of_a_hypervisor_are_kvms_alone() -> None:
    made = machine()
    for name in ("KVMCLOCK", "HYPERVCLOCK", "RTC", "HPET"):
        made.clock.timers.add(name=machine_pb2.TimerName.Value(f"TIMER_NAME_{name}"), present=name != "HPET")
    made.clock.timers[2].tick_policy = machine_pb2.TICK_POLICY_CATCHUP
    emulated = ET.fromstring(domain_xml(made, FILES))
    assert [timer.get("name") for timer in emulated.iterfind("clock/timer")] == ["rtc", "hpet"]
    assert (_get(emulated, "clock/timer[@name='hpet']", "present")) == "no"
    assert (_get(emulated, "clock/timer[@name='rtc']", "tickpolicy")) == "catchup"
    made.accelerator = machine_pb2.ACCELERATOR_KVM
    assert len(list(ET.fromstring(domain_xml(made, FILES)).iterfind("clock/timer"))) == 4


def test_features_that_were_not_requested_are_absent() -> None:
    def tags(change: Callable[[machine_pb2.Machine], object]) -> list[str]:
        return [child.tag for child in _tree(change).iterfind("features/*")]

    def all_on(made: machine_pb2.Machine) -> None:
        made.accelerator = machine_pb2.ACCELERATOR_KVM
        made.features.acpi = made.features.apic = made.features.apic_eoi = made.features.kvm_hidden = True
        made.features.pvspinlock = made.features.smm = True

    assert tags(lambda made: made.ClearField("features")) == ["acpi", "apic", "tcg"]
    assert tags(lambda made: setattr(made.features, "apic", True)) == ["apic", "tcg"]
    assert tags(all_on) == ["acpi", "apic", "kvm", "pvspinlock", "smm"]


def test_network_card_with_everything() -> None:
    def change(made: machine_pb2.Machine) -> None:
        card = made.interfaces[0]
        card.boot_order, card.acpi_index, card.multiqueue, card.link_down = 2, 7, True, True

    tree = _tree(change)
    assert _get(tree, "devices/interface/driver", "queues") == "6"
    assert _get(tree, "devices/interface/boot", "order") == "2"
    assert _get(tree, "devices/interface/acpi", "index") == "7"
    assert _get(tree, "devices/interface/link", "state") == "down"
    assert tree.find("devices/interface/rom") is None, "what is booted from needs its option ROM"


def test_smbios_strings_and_huge_pages_and_watchdog() -> None:
    def change(made: machine_pb2.Machine) -> None:
        made.smbios.serial, made.smbios.chassis_sku = "<4711>", "c"
        made.hugepage_bytes = 2 << 20
        made.watchdog.model, made.watchdog.action = (
            machine_pb2.WATCHDOG_MODEL_I6300ESB,
            machine_pb2.WATCHDOG_ACTION_POWEROFF,
        )

    tree = _tree(change)
    assert [(e.get("name"), e.text) for e in tree.iterfind("sysinfo/system/entry")] == [("serial", "<4711>")]
    assert [(e.get("name"), e.text) for e in tree.iterfind("sysinfo/chassis/entry")] == [("sku", "c")]
    assert _get(tree, "os/smbios", "mode") == "sysinfo"
    assert _get(tree, "memoryBacking/hugepages/page", "size") == "2048"
    assert _get(tree, "devices/watchdog", "action") == "poweroff"


def test_transitional_form_reaches_every_virtio_device() -> None:
    def change(made: machine_pb2.Machine) -> None:
        made.virtio_transitional = made.balloon = made.rng = True

    tree = _tree(change)
    models = [element.get("type") or element.get("model") for element in tree.iterfind("devices/interface/model")]
    models += [_get(tree, f"devices/{device}", "model") for device in ("memballoon", "rng")]
    models += [_get(tree, "devices/controller[@type='virtio-serial']", "model")]
    assert models == ["virtio-transitional"] * 4
