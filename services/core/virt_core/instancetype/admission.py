"""Whether an instance type or a preference may be stored. Pure; called by virt-api's webhooks with objects as JSON.

Only what this release can run is stored: fields by name (spec.py), and values by the rules for VirtualMachineInstances.
For these a template that leaves everything open gets the object, and what is refused of the result is named as the
object's own field. What depends on the cluster's configuration is checked when a VirtualMachine names the object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from virt_core.conventions.labels import LAUNCHER_RELEASE
from virt_core.instancetype.apply import apply
from virt_core.instancetype.matcher import Role
from virt_core.instancetype.preferred import FILLS, OVERWRITES
from virt_core.instancetype.spec import InstancetypeSpec, PreferenceSpec, spec_of, unsupported_fields
from virt_core.instancetype.topology import (
    ACROSS,
    CORES_THREADS,
    DEPRECATED,
    SPREAD,
    TOPOLOGIES,
    preferred_topology,
    spread_options,
)
from virt_core.objects.paths import at, put
from virt_core.objects.quantity import parse_quantity
from virt_core.validation.refusal import Refusal, Refusals, one_of, refused, refused_switch, unless, within
from virt_core.vmi.instance import read_spec
from virt_core.vmi.rules.check import spec_refusals
from virt_core.vmi.template import metadata_refusals

Body = Mapping[str, Any]
_MOST_VCPUS = 64  # as virt_core.vmi.rules.compute has it for one level
_MOST_RATIO = 64
_CLAIM = {"persistentVolumeClaim": {"claimName": "open"}}
_OPEN: Body = {
    "domain": {
        "devices": {
            "disks": [
                {"name": "disk", "disk": {}},
                {"name": "virtio", "disk": {"bus": "virtio"}},
                {"name": "cdrom", "cdrom": {}},
                {"name": "lun", "lun": {}},
            ],
            "inputs": [{"name": "input"}],
            "interfaces": [{"name": "pod", "masquerade": {}}],
        },
    },
    "networks": [{"name": "pod", "pod": {}}],
    "volumes": [{"name": name, **_CLAIM} for name in ("disk", "virtio", "cdrom", "lun")],
}
"""A template's spec in which each field that an object can set is open."""

_ENOUGH = "1Gi"  # memory for any firmware
_RATIO = "cpu.spreadOptions.ratio"
_EFI = "domain.firmware.bootloader.efi"
_DEVICES = "domain.devices"
_ORIGINS: Mapping[Role, Mapping[str, str]] = {
    Role.INSTANCETYPE: {
        "domain.cpu.model": "cpu.model",
        "domain.cpu.dedicatedCpuPlacement": "cpu.dedicatedCPUPlacement",
        "domain.cpu.isolateEmulatorThread": "cpu.isolateEmulatorThread",
        "domain.memory": "memory",
        "nodeSelector": "nodeSelector",
        "schedulerName": "schedulerName",
    },
    Role.PREFERENCE: {
        **{".".join(target): ".".join(source) for source, target in (*FILLS, *OVERWRITES)},
        "domain.cpu.features": "cpu.preferredCPUFeatures",
        "domain.clock": "clock.preferredClockOffset",
        "domain.firmware.bootloader.bios.useSerial": "firmware.preferredUseBiosSerial",
        _EFI: "firmware.preferredEfi",
        f"{_DEVICES}.disks[0].disk.bus": "devices.preferredDiskBus",
        f"{_DEVICES}.disks[1].blockSize": "devices.preferredDiskBlockSize",
        f"{_DEVICES}.disks[1].cache": "devices.preferredDiskCache",
        f"{_DEVICES}.disks[1].io": "devices.preferredDiskIO",
        f"{_DEVICES}.disks[2].cdrom.bus": "devices.preferredCdromBus",
        f"{_DEVICES}.disks[3].lun.bus": "devices.preferredLunBus",
        f"{_DEVICES}.inputs[0].bus": "devices.preferredInputBus",
        f"{_DEVICES}.inputs[0].type": "devices.preferredInputType",
        f"{_DEVICES}.interfaces[0].model": "devices.preferredInterfaceModel",
    },
}
"""Field of the template's spec, and the field of the object that it comes from. Whatever is below it is as well."""


def admit(role: Role, new: Body, old: Body | None) -> tuple[Refusal, ...]:
    """Why the object is refused; empty: it may be stored. `old` is what it replaces.

    One that is being deleted or whose spec stays as it is, is admitted whatever another release has stored.
    """
    if at(new, ("metadata", "deletionTimestamp")) or (old is not None and old.get("spec") == new.get("spec")):
        return ()
    kind = InstancetypeSpec if role is Role.INSTANCETYPE else PreferenceSpec
    refusals = tuple(unsupported_fields(new, kind))
    if refusals:
        return refusals
    own = _instancetype(spec_of(new)) if role is Role.INSTANCETYPE else _preference(spec_of(new))
    return tuple(dict.fromkeys((*own, *_annotations(spec_of(new)), *_unusable(role, new))))


def deprecations(role: Role, new: Body) -> list[str]:
    """Warnings for the user, in KubeVirt's words."""
    preferred = at(new, ("spec", "cpu", "preferredCPUTopology"))
    if role is Role.INSTANCETYPE or preferred not in tuple(DEPRECATED):
        return []
    instead = DEPRECATED[preferred]
    message = f"PreferredCPUTopology {preferred} is deprecated for removal in a future release"
    return [f"{message}, please use {instead} instead"]


def _instancetype(spec: Body) -> Refusals:
    yield from within("cpu.guest", spec["cpu"]["guest"], 1, _MOST_VCPUS)
    percent = at(spec, ("memory", "overcommitPercent")) or 0
    yield from within("memory.overcommitPercent", percent, 0, 100)
    if percent and at(spec, ("memory", "hugepages")) is not None:
        yield Refusal("spec.memory.overcommitPercent", "excludes spec.memory.hugepages: remove one of them")


def _preference(spec: Body) -> Refusals:
    preferred = at(spec, ("cpu", "preferredCPUTopology")) or ""
    yield from one_of("cpu.preferredCPUTopology", preferred, (*TOPOLOGIES, *DEPRECATED))
    yield from one_of("preferredArchitecture", spec.get("preferredArchitecture") or "", ("amd64",))
    yield from one_of("cpu.spreadOptions.across", at(spec, ("cpu", "spreadOptions", "across")) or "", ACROSS)
    ratio, across = spread_options(spec)
    field = "preferSpreadSocketToCoreRatio" if at(spec, ("cpu", "spreadOptions", "ratio")) is None else _RATIO
    yield from within(field, ratio, 1, _MOST_RATIO)
    if preferred_topology(spec) == SPREAD and across == CORES_THREADS and ratio != 2:
        yield refused(field, ratio, f"2 across {CORES_THREADS}: a core has 2 threads")
    yield from _older_firmware(spec.get("firmware") or {})
    least = at(spec, ("requirements", "cpu", "guest"))
    yield from within("requirements.cpu.guest", least or 0, 0, (1 << 32) - 1)
    memory = at(spec, ("requirements", "memory", "guest"))
    if memory is not None:
        yield from unless(_is_quantity(memory), "requirements.memory.guest", memory, "a quantity such as 2Gi")


def _older_firmware(firmware: Body) -> Refusals:
    """preferredEfi is complete; the older fields beside it have no effect."""
    secure = firmware.get("preferredUseSecureBoot")
    if firmware.get("preferredEfi") is not None:
        return
    if secure or (secure is None and firmware.get("preferredUseEfi")):
        yield refused_switch("firmware.preferredUseSecureBoot", secure, "false: this release has no secure boot")


def _is_quantity(value: Any) -> bool:
    try:
        return parse_quantity(str(value)) >= 0
    except ValueError:
        return False


def _annotations(spec: Body) -> Iterator[Refusal]:
    """They become those of the guest's template."""
    metadata = {"annotations": spec.get("annotations") or {}}
    for refusal in metadata_refusals({"metadata": metadata}, is_own_account=False):
        yield Refusal(refusal.field.replace("spec.template.metadata.", "spec.", 1), refusal.message)
    if LAUNCHER_RELEASE in metadata["annotations"]:
        yield Refusal(f"spec.annotations.{LAUNCHER_RELEASE}", "is not allowed, set it on the VirtualMachine")


def _unusable(role: Role, stored: Body) -> Iterator[Refusal]:
    """What the rules refuse of a template with the object, as the object's own fields."""
    if role is Role.INSTANCETYPE:
        template = apply({"spec": {"domain": {"devices": {}}}}, stored, None).template
    else:
        spec = put(_OPEN, ("domain", "memory", "guest"), _ENOUGH)
        template = apply({"spec": spec}, None, stored).template
    for refusal in spec_refusals(read_spec(template["spec"]), None):
        field = refusal.field.removeprefix("spec.")
        origins = _ORIGINS[role]
        above = [target for target in origins if field == target or field.startswith((f"{target}.", f"{target}["))]
        if above:
            target = max(above, key=len)
            if target == _EFI and at(stored, ("spec", "firmware", "preferredEfi")) is None:
                continue  # of the older fields, which have rules of their own
            yield Refusal(f"spec.{origins[target]}{field.removeprefix(target)}", refusal.message)
