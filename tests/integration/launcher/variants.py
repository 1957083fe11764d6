"""Machines that between them have every field of the contract, disks apart: each as changes of the demonstration guest.

Used by test_domain_variants.py, which has libvirt itself judge them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from kubevirt.launcher.v1 import machine_pb2
from virt_core.rpc.words import number

from tests.integration.launcher.pod import PRIVATE

Change: TypeAlias = "Callable[[machine_pb2.Machine], None]"


def _display(name: str) -> Change:
    card = number(machine_pb2.DisplayCard, name)
    return lambda machine: machine.display.MergeFrom(machine_pb2.Display(socket_path=f"{PRIVATE}/virt-vnc", card=card))


def _watchdog(name: str) -> Change:
    action = number(machine_pb2.WatchdogAction, name)
    device = machine_pb2.Watchdog(model=machine_pb2.WATCHDOG_MODEL_I6300ESB, action=action)
    return lambda machine: machine.watchdog.MergeFrom(device)


def _card(model: str) -> Change:
    return lambda machine: setattr(machine.interfaces[0], "model", number(machine_pb2.NetworkCardModel, model))


def _every_device(machine: machine_pb2.Machine) -> None:
    machine.display.socket_path = f"{PRIVATE}/virt-vnc"
    machine.inputs.add(type=machine_pb2.INPUT_TYPE_TABLET, bus=machine_pb2.INPUT_BUS_USB)
    machine.inputs.add(type=machine_pb2.INPUT_TYPE_KEYBOARD, bus=machine_pb2.INPUT_BUS_VIRTIO)
    _watchdog("reset")(machine)
    machine.balloon = machine.rng = True


# The rules of a VirtualMachineInstance refuse less (rules/compute.py).
LEAST_WITH_UEFI, LEAST_WITH_UEFI_AND_KERNEL = 64 << 20, 160 << 20


def _uefi(machine: machine_pb2.Machine) -> None:
    machine.bootloader = machine_pb2.BOOTLOADER_UEFI
    machine.memory_bytes = LEAST_WITH_UEFI_AND_KERNEL


def _uefi_with_display(machine: machine_pb2.Machine) -> None:
    _uefi(machine)
    machine.display.socket_path = f"{PRIVATE}/virt-vnc"


def _bios_on_the_serial_port(machine: machine_pb2.Machine) -> None:
    machine.bootloader = machine_pb2.BOOTLOADER_BIOS_SERIAL


def _smbios(machine: machine_pb2.Machine) -> None:
    for field in machine_pb2.Smbios.DESCRIPTOR.fields:
        setattr(machine.smbios, field.name, f'<{field.name}, "1">')


def _one_smbios_string(machine: machine_pb2.Machine) -> None:
    machine.smbios.serial = "4711"


def _clock_with_offset(machine: machine_pb2.Machine) -> None:
    machine.clock.utc_offset_seconds = -3600


def _clock_in_a_time_zone(machine: machine_pb2.Machine) -> None:
    machine.clock.timezone = "Europe/Berlin"
    timers = machine.clock.timers
    timers.add(name=machine_pb2.TIMER_NAME_HPET, present=False)
    timers.add(name=machine_pb2.TIMER_NAME_PIT, present=True, tick_policy=machine_pb2.TICK_POLICY_DELAY)
    timers.add(name=machine_pb2.TIMER_NAME_RTC, present=True, tick_policy=machine_pb2.TICK_POLICY_CATCHUP)
    timers[-1].track = machine_pb2.TIMER_TRACK_GUEST
    timers.add(name=machine_pb2.TIMER_NAME_KVMCLOCK, present=True)
    timers.add(name=machine_pb2.TIMER_NAME_HYPERVCLOCK, present=False)


def _no_acpi(machine: machine_pb2.Machine) -> None:
    machine.features.apic = True


def _every_feature(machine: machine_pb2.Machine) -> None:
    machine.features.acpi = machine.features.apic = machine.features.apic_eoi = machine.features.kvm_hidden = True
    machine.features.pvspinlock, machine.features.smm = False, True


def _cpu_by_name(machine: machine_pb2.Machine) -> None:
    machine.cpu_model.name = "Haswell-noTSX"
    machine.cpu.sockets = machine.cpu.cores = 2
    names, policies = ("aes", "rdrand", "pcid", "x2apic", "svm"), machine_pb2.CpuFeaturePolicy.values()[1:]
    for name, policy in zip(names, policies, strict=True):
        machine.cpu_model.features.add(name=name, policy=policy)


def _cpu_of_the_host(machine: machine_pb2.Machine) -> None:
    machine.cpu_model.name = "host-passthrough"
    machine.cpu_model.features.add(name="aes", policy=machine_pb2.CPU_FEATURE_POLICY_REQUIRE)


def _huge_pages(machine: machine_pb2.Machine) -> None:
    machine.hugepage_bytes = 2 << 20


def _transitional(machine: machine_pb2.Machine) -> None:
    machine.virtio_transitional = machine.rng = machine.balloon = True


def _network(machine: machine_pb2.Machine) -> None:
    machine.cpu.cores = 4
    card = machine.interfaces[0]
    card.boot_order, card.acpi_index, card.link_down = 1, 101, True


def _many_queues(machine: machine_pb2.Machine) -> None:
    machine.cpu.cores = 4
    machine.interfaces[0].multiqueue = True


VARIANTS: dict[str, Change] = {
    "every device": _every_device,
    "uefi": _uefi,
    "uefi with a display": _uefi_with_display,
    "bios on the serial port": _bios_on_the_serial_port,
    "every smbios string": _smbios,
    "one smbios string": _one_smbios_string,
    "clock with an offset": _clock_with_offset,
    "clock in a time zone": _clock_in_a_time_zone,
    "no acpi": _no_acpi,
    "every feature": _every_feature,
    "cpu by name": _cpu_by_name,
    "cpu of the host": _cpu_of_the_host,
    "huge pages": _huge_pages,
    "transitional virtio": _transitional,
    "network card": _network,
    "many queues": _many_queues,
    **{f"display {card}": _display(card) for card in ("vga", "bochs", "virtio", "ramfb")},
    **{f"watchdog {action}": _watchdog(action) for action in ("reset", "poweroff", "shutdown")},
    **{f"card {model}": _card(model) for model in ("e1000", "e1000e", "rtl8139")},
}
