"""Translation of a VirtualMachineInstance to a Machine."""

from __future__ import annotations

import uuid

import pytest
from kubevirt.launcher.v1 import machine_pb2
from virt_core.objects.kubevirt import Configuration, DeveloperConfiguration
from virt_core.validation.refusal import UnsupportedSpec
from virt_core.vmi.accepted import accept
from virt_handler.machines.translate.machine import machine
from virt_handler.network.plan import PodNetwork, Route

from tests.unit.handler.demo import VMI_UID, MakeVmi, translated

POD = PodNetwork(1450, ("10.244.1.7",))
EMULATED = Configuration(DeveloperConfiguration(use_emulation=True))


def test_a_plain_machine_gets_defaults_and_a_masqueraded_interface(make_vmi: MakeVmi) -> None:
    result = translated(make_vmi(), EMULATED, POD)
    assert (result.uid, result.namespace, result.name) == (VMI_UID, "default", "demo")
    assert result.accelerator == machine_pb2.ACCELERATOR_EMULATION
    assert result.memory_bytes == 128 << 20
    assert (result.cpu.sockets, result.cpu.cores, result.cpu.threads) == (1, 1, 1)
    assert result.shutdown_grace_period.seconds == 30
    assert not result.HasField("kernel_boot")
    (interface,) = result.interfaces
    assert (interface.name, interface.tap_device, interface.mtu) == ("default", "tap0", 1450)
    assert interface.model == machine_pb2.NETWORK_CARD_MODEL_VIRTIO
    dhcp = interface.dhcp
    assert (dhcp.bridge_device, dhcp.router_address, dhcp.client_address) == ("k6t-eth0", "10.0.2.1", "10.0.2.2")
    assert (dhcp.prefix_length, dhcp.hostname) == (24, "demo")


def test_what_the_spec_leaves_open_is_the_same_in_each_attempt_and_differs_between_machines(make_vmi: MakeVmi) -> None:
    first, again = (translated(make_vmi(), EMULATED, POD) for _ in range(2))
    other = translated(make_vmi(uid=str(uuid.uuid4())), EMULATED, POD)
    assert first == again
    assert first.firmware_uuid != other.firmware_uuid
    mac = first.interfaces[0].mac_address
    assert mac != other.interfaces[0].mac_address
    assert int(mac[:2], 16) & 0b11 == 0b10  # locally administered, unicast
    uuid.UUID(first.firmware_uuid)


def test_kernel_boot_names_the_files_in_the_pod_and_not_in_the_users_image(make_vmi: MakeVmi) -> None:
    boot = {"container": {"image": "guest", "kernelPath": "/boot/k", "initrdPath": "/boot/i"}, "kernelArgs": "quiet"}
    result = translated(make_vmi(domain={"firmware": {"kernelBoot": boot}}), Configuration(), POD)
    assert result.accelerator == machine_pb2.ACCELERATOR_KVM
    assert result.kernel_boot.kernel_path == "/var/run/kubevirt/kernel-boot/kernel"
    assert result.kernel_boot.initrd_path == "/var/run/kubevirt/kernel-boot/initrd"
    assert result.kernel_boot.command_line == "quiet"


def test_no_interface_and_no_console_if_the_spec_disables_them(make_vmi: MakeVmi) -> None:
    devices = {"autoattachPodInterface": False, "autoattachSerialConsole": False}
    result = translated(make_vmi(domain={"devices": devices}), EMULATED, POD)
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
        translated(make_vmi(domain=domain), EMULATED, POD)
    assert named in str(refused.value)


def test_devices_firmware_and_clock_are_carried_over(make_vmi: MakeVmi) -> None:
    devices = {
        "autoattachMemBalloon": False,
        "rng": {},
        "watchdog": {"name": "w", "i6300esb": {"action": "poweroff"}},
        "inputs": [{"name": "t", "type": "tablet", "bus": "virtio"}],
        "video": {"type": "virtio"},
        "logSerialConsole": True,
        "interfaces": [{"name": "default", "masquerade": {}, "state": "down", "acpiIndex": 3, "bootOrder": 2}],
    }
    domain = {
        "devices": devices,
        "memory": {"guest": "160Mi"},
        "firmware": {"bootloader": {"efi": {"secureBoot": False}}, "serial": "s-1"},
        "chassis": {"asset": "a-1"},
        "clock": {"timezone": "Europe/Berlin", "timer": {"hpet": {"present": False}, "rtc": {"tickPolicy": "catchup"}}},
        "features": {"apic": {"endOfInterrupt": True}, "smm": {"enabled": False}},
        "cpu": {"cores": 2, "model": "Nehalem", "features": [{"name": "aes", "policy": "disable"}]},
    }
    result = translated(make_vmi(domain=domain), EMULATED, POD)
    assert (result.balloon, result.rng) == (False, True)
    assert result.watchdog.action == machine_pb2.WATCHDOG_ACTION_POWEROFF
    assert [(device.type, device.bus) for device in result.inputs] == [
        (machine_pb2.INPUT_TYPE_TABLET, machine_pb2.INPUT_BUS_VIRTIO)
    ]
    assert result.display.card == machine_pb2.DISPLAY_CARD_VIRTIO
    assert result.display.socket_path == "/var/run/kubevirt-private/virt-vnc"
    assert result.serial_console.log_path == "/var/run/kubevirt-private/virt-serial0-log"
    assert result.bootloader == machine_pb2.BOOTLOADER_UEFI
    assert (result.smbios.serial, result.smbios.chassis_asset, result.smbios.manufacturer) == ("s-1", "a-1", "KubeVirt")
    assert result.clock.timezone == "Europe/Berlin"
    hpet, rtc = result.clock.timers
    assert (hpet.name, hpet.present, hpet.HasField("tick_policy")) == (machine_pb2.TIMER_NAME_HPET, False, False)
    assert (rtc.name, rtc.tick_policy) == (machine_pb2.TIMER_NAME_RTC, machine_pb2.TICK_POLICY_CATCHUP)
    assert (result.features.acpi, result.features.apic, result.features.apic_eoi) == (True, True, True)
    assert result.features.HasField("smm") and not result.features.smm
    assert not result.features.HasField("pvspinlock")
    assert result.cpu_model.name == "Nehalem"
    assert result.cpu_model.features[0].policy == machine_pb2.CPU_FEATURE_POLICY_DISABLE
    (interface,) = result.interfaces
    assert (interface.link_down, interface.acpi_index, interface.boot_order) == (True, 3, 2)


def test_nothing_is_attached_that_the_spec_switches_off(make_vmi: MakeVmi) -> None:
    result = translated(make_vmi(domain={"devices": {"autoattachGraphicsDevice": False}}), EMULATED, POD)
    assert not result.HasField("display") and not result.HasField("watchdog") and not result.inputs
    assert not result.serial_console.log_path
    assert translated(make_vmi(), EMULATED, POD).HasField("display")


def test_machine_type_and_cpu_model_are_the_clusters_where_the_spec_has_none(make_vmi: MakeVmi) -> None:
    configured = Configuration(machine_type="pc-q35-7.2", cpu_model="Haswell")
    result = translated(make_vmi(), configured, POD)
    assert (result.machine_type, result.cpu_model.name) == ("pc-q35-7.2", "Haswell")
    own = make_vmi(domain={"machine": {"type": "q35"}, "cpu": {"model": "Nehalem"}})
    result = translated(own, configured, POD)
    assert (result.machine_type, result.cpu_model.name) == ("q35", "Nehalem")


@pytest.mark.parametrize(("asked", "runs"), [("", "pc-q35-7.2"), ("q35", "pc-q35-7.2"), ("pc-q35-10.0", "pc-q35-10.0")])
def test_while_a_way_back_is_open_an_alias_is_what_both_releases_know(make_vmi: MakeVmi, asked: str, runs: str) -> None:
    vmi = make_vmi(domain={"machine": {"type": asked}})
    result = machine(vmi, accept(vmi.raw_spec, EMULATED), POD, {"q35": "pc-q35-7.2"})
    assert result.machine_type == runs


BRIDGED = {"devices": {"interfaces": [{"name": "default", "bridge": {}}]}}


def test_a_bridged_guest_has_the_pods_address_card_and_router(make_vmi: MakeVmi) -> None:
    pod = PodNetwork(1450, ("10.244.1.7",), 24, "0a:58:0a:f4:01:07", (Route("0.0.0.0/0", "10.244.1.1"),))
    (interface,) = translated(make_vmi(domain=BRIDGED), EMULATED, pod).interfaces
    assert interface.mac_address == pod.mac
    dhcp = interface.dhcp
    assert (dhcp.client_address, dhcp.prefix_length, dhcp.router_address) == ("10.244.1.7", 24, "10.244.1.1")
    assert not dhcp.routes and dhcp.hostname == "demo"


def test_a_router_beyond_the_pods_network_is_sent_as_routes(make_vmi: MakeVmi) -> None:
    routes = (Route("169.254.1.1/32"), Route("0.0.0.0/0", "169.254.1.1"))
    pod = PodNetwork(1450, ("10.244.1.7",), 32, "0a:58:0a:f4:01:07", routes)
    (interface,) = translated(make_vmi(domain=BRIDGED), EMULATED, pod).interfaces
    assert not interface.dhcp.router_address
    assert [(route.destination, route.prefix_length, route.router) for route in interface.dhcp.routes] == [
        ("169.254.1.1", 32, "0.0.0.0"),
        ("0.0.0.0", 0, "169.254.1.1"),
    ]


def test_a_pod_without_addresses_leaves_a_bridged_guest_to_its_networks_dhcp(make_vmi: MakeVmi) -> None:
    (interface,) = translated(
        make_vmi(domain=BRIDGED), EMULATED, PodNetwork(1450, (), mac="0a:58:0a:f4:01:07")
    ).interfaces
    assert not interface.HasField("dhcp")
