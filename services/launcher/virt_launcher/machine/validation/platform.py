"""Validation of the platform: firmware, CPU, clock, features, huge pages. Part of validation/machine.py."""

from __future__ import annotations

import re

from kubevirt.launcher.v1 import machine_pb2

from virt_launcher.machine.validation.checks import LINE, distinct, matches, require, specified

_CPU_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Names of the time zone database: no absolute path and no "..".
_TIMEZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9_+-]{1,32}){0,2}")
_HUGE_PAGES = (0, 2 << 20, 1 << 30)  # of x86
# The longest SMBIOS string that every firmware passes to the guest.
_LONGEST_SMBIOS_STRING = 256


def validate_platform(machine: machine_pb2.Machine) -> None:
    """Raises InvalidField."""
    specified(machine_pb2.Bootloader, "bootloader", machine.bootloader)
    serial = machine.HasField("serial_console")
    speaks = machine.bootloader == machine_pb2.BOOTLOADER_BIOS_SERIAL
    require(serial or not speaks, "bootloader", "BIOS_SERIAL", "a serial_console with it")
    for field, value in machine.smbios.ListFields():
        path, text = f"smbios.{field.name}", str(value)
        require(len(text) <= _LONGEST_SMBIOS_STRING, path, text, f"{_LONGEST_SMBIOS_STRING} characters at most")
        matches(LINE, path, text, "printable ASCII")
    _cpu_model(machine.cpu_model)
    _clock(machine.clock)
    features, size = machine.features, machine.hugepage_bytes
    require(features.apic or not features.apic_eoi, "features.apic_eoi", features.apic_eoi, "features.apic with it")
    require(size in _HUGE_PAGES, "hugepage_bytes", size, " or ".join(str(size) for size in _HUGE_PAGES))
    whole = not size or machine.memory_bytes % size == 0
    require(whole, "memory_bytes", machine.memory_bytes, f"a multiple of hugepage_bytes, {size}")


def _cpu_model(model: machine_pb2.CpuModel) -> None:
    if model.name:
        matches(_CPU_NAME, "cpu_model.name", model.name, "the name of a CPU model")
    for index, feature in enumerate(model.features):
        path = f"cpu_model.features[{index}]"
        matches(_CPU_NAME, f"{path}.name", feature.name, "the name of a CPU feature")
        specified(machine_pb2.CpuFeaturePolicy, f"{path}.policy", feature.policy)
    distinct((f"cpu_model.features[{index}].name", feature.name) for index, feature in enumerate(model.features))


def _clock(clock: machine_pb2.Clock) -> None:
    if clock.timezone:
        matches(_TIMEZONE, "clock.timezone", clock.timezone, 'a time zone such as "Europe/Berlin"')
        offset = clock.utc_offset_seconds
        require(offset == 0, "clock.utc_offset_seconds", offset, "either an offset or clock.timezone")
    for index, timer in enumerate(clock.timers):
        path = f"clock.timers[{index}]"
        specified(machine_pb2.TimerName, f"{path}.name", timer.name)
        if timer.HasField("tick_policy"):
            specified(machine_pb2.TickPolicy, f"{path}.tick_policy", timer.tick_policy)
        if timer.HasField("track"):
            specified(machine_pb2.TimerTrack, f"{path}.track", timer.track)
            rtc = timer.name == machine_pb2.TIMER_NAME_RTC
            require(rtc, f"{path}.track", timer.track, "none, except for the rtc")
    distinct((f"clock.timers[{index}].name", timer.name) for index, timer in enumerate(clock.timers))
