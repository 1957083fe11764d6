"""Machine → domain XML, and which machines never get that far."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubevirt.launcher.v1 import launcher_pb2 as pb
from virt_core.rpc.errors import InvalidField
from virt_launcher.domain.xml import domain_xml
from virt_launcher.machine.validation import validate


def machine() -> pb.Machine:
    return pb.Machine(
        uid="6a1f0d52-6a7a-4c9b-8d5e-1c2b3a4d5e6f",
        name="demo",
        namespace="default",
        accelerator=pb.ACCELERATOR_EMULATION,
        machine_type="pc-q35-7.2",
        cpu=pb.CpuTopology(sockets=2, cores=3, threads=1),
        memory_bytes=128 << 20,
        firmware_uuid="6a1f0d52-6a7a-4c9b-8d5e-1c2b3a4d5e6f",
        kernel_boot=pb.KernelBoot(kernel_path="/k", initrd_path="/i", command_line="console=ttyS0"),
        serial_console=pb.SerialConsole(socket_path="/run/s", log_path="/run/l"),
        interfaces=[
            pb.NetworkInterface(
                name="default",
                mac_address="52:54:00:00:00:01",
                model="virtio",
                tap_device="tap0",
                mtu=1450,
                dhcp=pb.DhcpLease(
                    bridge_device="k6t-eth0",
                    router_address="10.0.2.1",
                    client_address="10.0.2.2",
                    prefix_length=24,
                    hostname="demo",
                ),
            )
        ],
    )


def test_whole_machine() -> None:
    """Golden: a change here changes what running guests would be started as."""
    expected = """\
<domain type="qemu">
  <name>guest</name>
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
    <memballoon model="none" />
    <rng model="virtio">
      <backend model="random">/dev/urandom</backend>
    </rng>
    <panic model="isa" />
  </devices>
</domain>"""
    tree = ET.fromstring(domain_xml(machine()))
    ET.indent(tree)
    assert ET.tostring(tree, encoding="unicode") == expected


def test_kvm_takes_the_nearest_named_model() -> None:
    given = machine()
    given.accelerator = pb.ACCELERATOR_KVM
    tree = ET.fromstring(domain_xml(given))
    cpu = tree.find("cpu")
    assert tree.get("type") == "kvm"
    assert cpu is not None
    assert cpu.get("mode") == "host-model"


def test_what_is_not_asked_for_is_not_there() -> None:
    given = machine()
    for field in ("kernel_boot", "serial_console", "interfaces"):
        given.ClearField(field)
    tree = ET.fromstring(domain_xml(given))
    assert not [path for path in ("os/kernel", "devices/serial", "devices/interface") if tree.find(path) is not None]


@given(st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_no_command_line_becomes_an_element(line: str) -> None:
    made = machine()
    made.kernel_boot.command_line = line
    tree = ET.fromstring(domain_xml(made))
    assert (tree.findtext("os/cmdline") or "") == line
    assert len(list(tree.iter())) == len(list(ET.fromstring(domain_xml(machine())).iter())) - (line == "")


def test_good_machine_is_valid() -> None:
    validate(machine())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("uid", ""),
        ("accelerator", pb.ACCELERATOR_UNSPECIFIED),
        ("machine_type", "virt"),
        ("machine_type", 'q35"/><x'),
        ("cpu.cores", 0),
        ("memory_bytes", 0),
        ("firmware_uuid", "no uuid"),
        ("kernel_boot.kernel_path", "boot/vmlinuz"),
        ("kernel_boot.command_line", "a\nb"),
        ("serial_console.socket_path", "/" + "x" * 107),
        ("interfaces[0].mac_address", "52:54:00:00:00:0g"),
        ("interfaces[0].model", "virtio-net"),
        ("interfaces[0].tap_device", "../tap"),
        ("interfaces[0].mtu", 70000),
        ("interfaces[0].dhcp.bridge_device", "a-name-that-is-too-long"),
        ("interfaces[0].dhcp.client_address", "10.0.2"),
        ("interfaces[0].dhcp.prefix_length", 33),
        ("interfaces[0].dhcp.hostname", "a b"),
    ],
)
def test_bad_value_is_refused_by_field(path: str, value: object) -> None:
    made = machine()
    target: object = made
    *parents, last = path.split(".")
    for parent in parents:
        target = made.interfaces[0] if parent == "interfaces[0]" else getattr(target, parent)
    setattr(target, last, value)
    with pytest.raises(InvalidField) as invalid:
        validate(made)
    assert invalid.value.field == f"machine.{path}"
    assert repr(value) in invalid.value.message
