"""Fills the open fields of a template as a preference has it. Pure; called by apply.py with a preference whose types
are right, and with any template.

FILLS is the table of plain fields; what depends on more than one field has a function of its own. admission.py follows
the same paths back, to name a preference's field whose value no guest can have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from virt_core.objects.paths import Path, at, filled, put
from virt_core.vmi.spec.effective import DEFAULT_INTERFACE

Body = Mapping[str, Any]
_DEVICES: Path = ("domain", "devices")

FILLS: tuple[tuple[Path, Path], ...] = (
    *(
        (("devices", preferred), (*_DEVICES, field))
        for preferred, field in (
            ("preferredAutoattachGraphicsDevice", "autoattachGraphicsDevice"),
            ("preferredAutoattachInputDevice", "autoattachInputDevice"),
            ("preferredAutoattachMemBalloon", "autoattachMemBalloon"),
            ("preferredAutoattachPodInterface", "autoattachPodInterface"),
            ("preferredAutoattachSerialConsole", "autoattachSerialConsole"),
            ("preferredBlockMultiQueue", "blockMultiQueue"),
            ("preferredNetworkInterfaceMultiQueue", "networkInterfaceMultiqueue"),
            ("preferredRng", "rng"),
            ("preferredTPM", "tpm"),
            ("preferredUseVirtioTransitional", "useVirtioTransitional"),
        )
    ),
    (("features", "preferredApic"), ("domain", "features", "apic")),
    (("features", "preferredKvm"), ("domain", "features", "kvm")),
    (("features", "preferredPvspinlock"), ("domain", "features", "pvspinlock")),
    (("features", "preferredSmm"), ("domain", "features", "smm")),
    (("machine", "preferredMachineType"), ("domain", "machine", "type")),
    (("clock", "preferredTimer"), ("domain", "clock", "timer")),
    (("preferredSubdomain",), ("subdomain",)),
    (("preferredTerminationGracePeriodSeconds",), ("terminationGracePeriodSeconds",)),
)
"""Field of the preference, and field of the template's spec that it fills."""

OVERWRITES: tuple[tuple[Path, Path], ...] = (
    (("devices", "preferredDisableHotplug"), (*_DEVICES, "disableHotplug")),
    (("features", "preferredAcpi"), ("domain", "features", "acpi")),
)
"""The same for fields that a preference overwrites, as in KubeVirt, whose API cannot tell whether they are set."""

_TARGETS = ("disk", "cdrom", "lun")
_BUSES = {"disk": "preferredDiskBus", "cdrom": "preferredCdromBus", "lun": "preferredLunBus"}
_DISK_FIELDS = (
    ("preferredDiskBlockSize", "blockSize"),
    ("preferredDiskCache", "cache"),
    ("preferredDiskIO", "io"),
)
_BINDINGS = ("masquerade", "bridge", "sriov", "slirp", "macvtap", "passt", "passtBinding", "binding")


def with_preference(spec: Any, preference: Body) -> Any:
    """The template's spec with the preference. Disks, input device and network that a guest gets by default are named
    in it, because the preference is for them as well."""
    for source, target in FILLS:
        if (value := at(preference, source)) is not None:
            spec = filled(spec, target, value)
    for source, target in OVERWRITES:
        if (value := at(preference, source)) is not None:
            spec = put(spec, target, value)
    devices = preference.get("devices") or {}
    spec = _with_features(_with_default_devices(spec), preference)
    spec = _each(spec, "disks", lambda disk: _disk(disk, devices))
    spec = _each(spec, "inputs", lambda device: _input(device, devices))
    networks = at(spec, ("networks",))
    spec = _each(spec, "interfaces", lambda interface: _interface(interface, devices, networks))
    return _with_firmware(_with_clock(spec, preference), preference.get("firmware") or {})


def _with_default_devices(spec: Any) -> Any:
    disks, volumes = at(spec, (*_DEVICES, "disks")) or [], at(spec, ("volumes",)) or []
    if isinstance(disks, list) and isinstance(volumes, list):
        named = {disk.get("name") for disk in disks if isinstance(disk, Mapping)}
        names = dict.fromkeys(volume.get("name") for volume in volumes if isinstance(volume, Mapping))
        added = [{"name": name} for name in names if name not in named]
        spec = put(spec, (*_DEVICES, "disks"), [*disks, *added]) if added else spec
    if at(spec, (*_DEVICES, "autoattachInputDevice")) is True and not at(spec, (*_DEVICES, "inputs")):
        spec = put(spec, (*_DEVICES, "inputs"), [{"name": "default-0"}])
    wanted = at(spec, (*_DEVICES, "autoattachPodInterface")) is not False
    if wanted and not at(spec, (*_DEVICES, "interfaces")) and not at(spec, ("networks",)):
        spec = put(spec, (*_DEVICES, "interfaces"), [{"name": DEFAULT_INTERFACE, "masquerade": {}}])
        spec = put(spec, ("networks",), [{"name": DEFAULT_INTERFACE, "pod": {}}])
    return spec


def _with_features(spec: Any, preference: Body) -> Any:
    """CPU features are added by name."""
    path = ("domain", "cpu", "features")
    features, preferred = at(spec, path) or [], at(preference, ("cpu", "preferredCPUFeatures")) or []
    if not preferred or not isinstance(features, list):
        return spec
    named = [feature.get("name") for feature in features if isinstance(feature, Mapping)]
    return put(spec, path, [*features, *(feature for feature in preferred if feature["name"] not in named)])


def _each(spec: Any, field: str, changed: Callable[[Body], Any]) -> Any:
    """The spec with each device of the list `field` changed."""
    items = at(spec, (*_DEVICES, field))
    if not items or not isinstance(items, list):
        return spec
    return put(spec, (*_DEVICES, field), [changed(item) if isinstance(item, Mapping) else item for item in items])


def _disk(disk: Body, devices: Body) -> Any:
    target = next((target for target in _TARGETS if disk.get(target) is not None), "disk")
    result: Any = filled(disk, (target,), {})
    if bus := devices.get(_BUSES[target]):
        result = filled(result, (target, "bus"), bus)
    if target != "disk":
        return result
    for preferred, field in _DISK_FIELDS:
        if (value := devices.get(preferred)) is not None:
            result = filled(result, (field,), value)
    thread = devices.get("preferredDiskDedicatedIoThread")
    if thread is not None and at(result, ("disk", "bus")) == "virtio":
        result = filled(result, ("dedicatedIOThread",), thread)
    return result


def _input(device: Body, devices: Body) -> Any:
    bus, kind = devices.get("preferredInputBus") or "usb", devices.get("preferredInputType") or "tablet"
    return filled(filled(device, ("bus",), bus), ("type",), kind)


def _interface(interface: Body, devices: Body, networks: Any) -> Any:
    result: Any = interface
    if model := devices.get("preferredInterfaceModel"):
        result = filled(result, ("model",), model)
    masquerade = devices.get("preferredInterfaceMasquerade")
    bound = any(interface.get(binding) is not None for binding in _BINDINGS)
    if masquerade is not None and not bound and _is_on_pod_network(interface.get("name"), networks):
        result = put(result, ("masquerade",), masquerade)
    return result


def _is_on_pod_network(name: Any, networks: Any) -> bool:
    found = [network for network in networks or [] if isinstance(network, Mapping) and network.get("name") == name]
    return bool(found) and found[0].get("pod") is not None


def _with_firmware(spec: Any, firmware: Body) -> Any:
    loader: Path = ("domain", "firmware", "bootloader")
    bios, efi = (*loader, "bios"), (*loader, "efi")
    is_open = at(spec, bios) is None and at(spec, efi) is None
    if is_open and firmware.get("preferredUseBios"):
        spec, is_open = put(spec, bios, {}), False
    if at(spec, bios) is not None and (serial := firmware.get("preferredUseBiosSerial")) is not None:
        spec = filled(spec, (*bios, "useSerial"), serial)
    if is_open and (preferred := firmware.get("preferredEfi")) is not None:
        return put(spec, efi, preferred)  # complete: the older fields below do not change it
    if is_open and firmware.get("preferredUseEfi"):
        spec = put(spec, efi, {})
    if at(spec, efi) is not None and (secure := firmware.get("preferredUseSecureBoot")) is not None:
        spec = filled(spec, (*efi, "secureBoot"), secure)
    return spec


def _with_clock(spec: Any, preference: Body) -> Any:
    """An offset is filled in as a whole."""
    offset = at(preference, ("clock", "preferredClockOffset"))
    clock = at(spec, ("domain", "clock")) or {}
    if not offset or not isinstance(clock, Mapping) or clock.get("utc") is not None or clock.get("timezone"):
        return spec
    return put(spec, ("domain", "clock"), {**clock, **offset})
