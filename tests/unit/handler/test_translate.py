"""A VirtualMachineInstance becomes a Machine."""

from __future__ import annotations

import uuid

import pytest
from kubevirt.launcher.v1 import launcher_pb2
from virt_core.api.vmi import UnsupportedSpec
from virt_handler.machines.translate import machine
from virt_handler.network.plan import PodNetwork

from .conftest import VMI_UID, MakeVmi

POD = PodNetwork(1450, ("10.244.1.7",))


def test_a_plain_machine_gets_defaults_and_a_masqueraded_interface(make_vmi: MakeVmi) -> None:
    result = machine(make_vmi(), emulation=True, pod=POD)
    assert (result.uid, result.namespace, result.name) == (VMI_UID, "default", "demo")
    assert result.accelerator == launcher_pb2.ACCELERATOR_EMULATION
    assert result.memory_bytes == 128 << 20
    assert (result.cpu.sockets, result.cpu.cores, result.cpu.threads) == (1, 1, 1)
    assert result.shutdown_grace_period.seconds == 30
    assert not result.HasField("kernel_boot")
    (interface,) = result.interfaces
    assert (interface.name, interface.model, interface.tap_device, interface.mtu) == ("default", "virtio", "tap0", 1450)
    dhcp = interface.dhcp
    assert (dhcp.bridge_device, dhcp.router_address, dhcp.client_address) == ("k6t-eth0", "10.0.2.1", "10.0.2.2")
    assert (dhcp.prefix_length, dhcp.hostname) == (24, "demo")


def test_what_the_spec_leaves_open_is_the_same_in_each_attempt_and_differs_between_machines(make_vmi: MakeVmi) -> None:
    first, again = (machine(make_vmi(), emulation=True, pod=POD) for _ in range(2))
    other = machine(make_vmi(uid=str(uuid.uuid4())), emulation=True, pod=POD)
    assert first == again
    assert first.firmware_uuid != other.firmware_uuid
    mac = first.interfaces[0].mac_address
    assert mac != other.interfaces[0].mac_address
    assert int(mac[:2], 16) & 0b11 == 0b10  # locally administered, unicast
    uuid.UUID(first.firmware_uuid)


def test_kernel_boot_names_the_files_in_the_pod_and_not_in_the_users_image(make_vmi: MakeVmi) -> None:
    boot = {"container": {"image": "guest", "kernelPath": "/boot/k", "initrdPath": "/boot/i"}, "kernelArgs": "quiet"}
    result = machine(make_vmi(domain={"firmware": {"kernelBoot": boot}}), emulation=False, pod=POD)
    assert result.accelerator == launcher_pb2.ACCELERATOR_KVM
    assert result.kernel_boot.kernel_path == "/var/run/kubevirt/kernel-boot/kernel"
    assert result.kernel_boot.initrd_path == "/var/run/kubevirt/kernel-boot/initrd"
    assert result.kernel_boot.command_line == "quiet"


def test_no_interface_and_no_console_if_the_spec_says_so(make_vmi: MakeVmi) -> None:
    devices = {"autoattachPodInterface": False, "autoattachSerialConsole": False}
    result = machine(make_vmi(domain={"devices": devices}), emulation=True, pod=POD)
    assert not result.interfaces
    assert not result.HasField("serial_console")


@pytest.mark.parametrize(
    ("domain", "named"),
    [
        ({"devices": {"gpus": []}}, "gpus"),
        ({"memory": {"guest": "lots"}}, "spec.domain.memory.guest"),
        ({"firmware": {"uuid": "x"}}, "spec.domain.firmware.uuid"),
        ({"devices": {"interfaces": [{"name": "default"}]}}, "spec.domain.devices.interfaces[0]"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(make_vmi: MakeVmi, domain: dict[str, object], named: str) -> None:
    with pytest.raises(UnsupportedSpec) as refused:
        machine(make_vmi(domain=domain), emulation=True, pod=POD)
    assert named in str(refused.value)
