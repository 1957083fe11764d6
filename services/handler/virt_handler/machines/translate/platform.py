"""Translates firmware, clock, features and CPU model of a Machine. Pure; called by machine.py."""

from __future__ import annotations

from collections.abc import Iterator

from kubevirt.launcher.v1 import machine_pb2
from virt_core.rpc.words import number
from virt_core.vmi.accepted import AcceptedSpec
from virt_core.vmi.spec.domain import Clock, TickTimer, Timer, Timers, VmiSpec

# KubeVirt's values, by which inventory tools recognize its guests.
_MANUFACTURER, _PRODUCT, _FAMILY = "KubeVirt", "None", "KubeVirt"


def bootloader(accepted: AcceptedSpec) -> machine_pb2.Bootloader.ValueType:
    """The spec's firmware, BIOS by default."""
    if accepted.boots_by_uefi:
        return machine_pb2.BOOTLOADER_UEFI
    loader = accepted.spec.domain.firmware.bootloader
    bios = loader.bios if loader is not None else None
    return machine_pb2.BOOTLOADER_BIOS_SERIAL if bios is not None and bios.use_serial else machine_pb2.BOOTLOADER_BIOS


def smbios(spec: VmiSpec) -> machine_pb2.Smbios:
    """The SMBIOS fields that the firmware reports to the guest."""
    result = machine_pb2.Smbios(
        manufacturer=_MANUFACTURER, product=_PRODUCT, family=_FAMILY, serial=spec.domain.firmware.serial
    )
    chassis = spec.domain.chassis
    if chassis is not None:
        result.chassis_manufacturer = chassis.manufacturer
        result.chassis_version = chassis.version
        result.chassis_serial = chassis.serial
        result.chassis_asset = chassis.asset
        result.chassis_sku = chassis.sku
    return result


def clock(wanted: Clock) -> machine_pb2.Clock:
    """The spec's clock."""
    return machine_pb2.Clock(
        utc_offset_seconds=wanted.utc.offset_seconds if wanted.utc is not None else 0,
        timezone=wanted.timezone,
        timers=_timers(wanted.timer) if wanted.timer is not None else (),
    )


def _timers(timers: Timers) -> Iterator[machine_pb2.Timer]:
    """The spec's timers. A timer is present unless `present` is false."""
    for name, plain in (
        (machine_pb2.TIMER_NAME_KVMCLOCK, timers.kvm),
        (machine_pb2.TIMER_NAME_HYPERVCLOCK, timers.hyperv),
    ):
        if plain is not None:
            yield machine_pb2.Timer(name=name, present=plain.present is not False)
    for name, ticking in ((machine_pb2.TIMER_NAME_HPET, timers.hpet), (machine_pb2.TIMER_NAME_PIT, timers.pit)):
        if ticking is not None:
            yield _ticking(name, ticking)
    if timers.rtc is not None:
        rtc = _ticking(machine_pb2.TIMER_NAME_RTC, timers.rtc)
        if timers.rtc.track:
            rtc.track = number(machine_pb2.TimerTrack, timers.rtc.track)
        yield rtc


def _ticking(name: machine_pb2.TimerName.ValueType, wanted: Timer | TickTimer) -> machine_pb2.Timer:
    timer = machine_pb2.Timer(name=name, present=wanted.present is not False)
    if wanted.tick_policy:
        timer.tick_policy = number(machine_pb2.TickPolicy, wanted.tick_policy)
    return timer


def features(spec: VmiSpec) -> machine_pb2.Features:
    """The spec's platform features. The hypervisor decides about absent ones."""
    wanted = spec.domain.features
    result = machine_pb2.Features(
        acpi=wanted.acpi.on,
        apic=wanted.apic is None or wanted.apic.enabled is not False,
        apic_eoi=wanted.apic is not None and wanted.apic.end_of_interrupt,
        kvm_hidden=wanted.kvm is not None and wanted.kvm.hidden,
    )
    if wanted.pvspinlock is not None:
        result.pvspinlock = wanted.pvspinlock.on
    if wanted.smm is not None:
        result.smm = wanted.smm.on
    return result


def cpu_model(accepted: AcceptedSpec) -> machine_pb2.CpuModel | None:
    """The CPU model of the spec, or else of the cluster's configuration; None: the launcher's choice."""
    cpu, name = accepted.spec.domain.cpu, accepted.cpu_model
    if not name and not cpu.features:
        return None
    features = (
        machine_pb2.CpuFeature(
            name=feature.name, policy=number(machine_pb2.CpuFeaturePolicy, feature.policy or "require")
        )
        for feature in cpu.features
    )
    return machine_pb2.CpuModel(name=name, features=features)
