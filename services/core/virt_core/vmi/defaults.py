"""Defaults that the mutating webhook adds to a new VirtualMachineInstance, the same that KubeVirt stores. Pure.

Called by virt-api with the object as JSON. Other fields stay unchanged, and so does an object that vmi/admission.py
refuses. Nothing depends on stored defaults: spec/effective.py applies the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from virt_core.conventions import images
from virt_core.objects.kubevirt import Configuration
from virt_core.validation.refusal import UnsupportedSpec
from virt_core.vmi.accepted import AcceptedSpec, accept
from virt_core.vmi.spec.devices import Interface
from virt_core.vmi.spec.effective import DiskKind, EffectiveDisk, guest_memory
from virt_core.vmi.spec.volumes import Volume

Body = dict[str, Any]


def defaulted(vmi: Mapping[str, Any], configuration: Configuration) -> Body:
    """The object with its defaults and without a status, which no user may set on a new object."""
    body = {key: value for key, value in vmi.items() if key != "status"}
    try:
        spec = accept(vmi.get("spec"), configuration)
    except UnsupportedSpec:
        return body
    filled = _filled(vmi["spec"], _defaults(spec, configuration))
    # A level of 0 means that it is not set.
    cpu = {**filled["domain"]["cpu"], **asdict(spec.topology)}
    return {**body, "spec": {**filled, "domain": {**filled["domain"], "cpu": cpu}}}


def defaults_patch(vmi: Mapping[str, Any], configuration: Configuration) -> list[Body]:
    """The JSON patch from the object to its defaulted form; empty if they are equal."""
    after = defaulted(vmi, configuration)
    removed: list[Body] = [{"op": "remove", "path": f"/{key}"} for key in vmi if key not in after]
    changed = (key for key in after if after[key] != vmi.get(key))
    return removed + [{"op": "add", "path": f"/{key}", "value": after[key]} for key in changed]


def _filled(value: Any, default: Any) -> Any:
    """`value` with the fields that only `default` has. Lists merge by index; extra items of the default are
    appended."""
    if isinstance(value, dict) and isinstance(default, dict):
        merged = {key: _filled(below, default[key]) if key in default else below for key, below in value.items()}
        return {**default, **merged}
    if isinstance(value, list) and isinstance(default, list):
        known = [_filled(item, of) for item, of in zip(value, default, strict=False)]
        return [*known, *value[len(known) :], *default[len(known) :]]
    return default if value == "" else value


def _defaults(accepted: AcceptedSpec, configuration: Configuration) -> Body:
    spec = accepted.spec
    filled: Body = {
        "architecture": "amd64",
        "domain": _domain(accepted, configuration),
        "evictionStrategy": configuration.default_eviction_strategy,
        "terminationGracePeriodSeconds": 30,
        "networks": [{"name": network.name, "pod": {}} for network in accepted.networks],
        "volumes": [_volume(volume) for volume in spec.volumes],
    }
    # KubeVirt's numbers, which are Kubernetes' own.
    numbers = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    for name, probe in (("livenessProbe", spec.liveness_probe), ("readinessProbe", spec.readiness_probe)):
        if probe is not None:
            filled[name] = numbers
    return {key: value for key, value in filled.items() if value != []}


def _domain(spec: AcceptedSpec, configuration: Configuration) -> Body:
    return {
        "cpu": {"model": configuration.cpu_model} if configuration.cpu_model else {},
        "memory": {"guest": guest_memory(spec.spec).value},
        "machine": {"type": configuration.default_machine_type},
        "devices": _devices(spec),
    }


def _devices(spec: AcceptedSpec) -> Body:
    devices: Body = {
        "disks": [_disk(disk) for disk in spec.disks],
        "interfaces": [_interface(interface) for interface in spec.interfaces],
        "inputs": [{"name": device.name, "type": device.type, "bus": device.bus} for device in spec.inputs],
    }
    if spec.watchdog_action is not None:
        devices["watchdog"] = {"i6300esb": {"action": spec.watchdog_action}}
    return {key: value for key, value in devices.items() if value != []}


def _interface(interface: Interface) -> Body:
    return {"name": interface.name, "bridge" if interface.bridge is not None else "masquerade": {}}


def _disk(disk: EffectiveDisk) -> Body:
    target: Body = {"bus": disk.bus}
    if disk.kind is DiskKind.CDROM:
        target |= {"readonly": True, "tray": "open" if disk.tray_open else "closed"}
    return {"name": disk.name, disk.kind.value: target}


def _volume(volume: Volume) -> Body:
    if volume.container_disk is None:
        return {}
    return {"containerDisk": {"imagePullPolicy": _pull_policy(volume.container_disk.image)}}


def _pull_policy(image: str) -> str:
    """Kubernetes' default: Always for the tag latest, otherwise IfNotPresent."""
    if "@" in image:
        return images.IF_NOT_PRESENT
    tag = image.rpartition("/")[2].partition(":")[2]
    return images.ALWAYS if tag in ("", "latest") else images.IF_NOT_PRESENT
