"""Specs of VirtualMachineInstances with fields that this release does not support, made from KubeVirt's field table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from virt_core.objects.field_table import field_table

TABLE = field_table()
ROOT = "v1.VirtualMachineInstanceSpec"
# What this release does not do, at the highest level: what is below goes with it. Whoever supports one takes it out.
UNSUPPORTED = [
    "domain.cpu.maxSockets",
    "domain.cpu.numa",
    "domain.cpu.realtime",
    "domain.devices.autoattachVSOCK",
    "domain.devices.clientPassthrough",
    "domain.devices.disks[].blockSize.custom.discardGranularity",
    "domain.devices.disks[].blockSize.matchVolume",
    "domain.devices.disks[].changedBlockTracking",
    "domain.devices.disks[].disk.pciAddress",
    "domain.devices.disks[].lun.reservation",
    "domain.devices.disks[].tag",
    "domain.devices.downwardMetrics",
    "domain.devices.filesystems",
    "domain.devices.gpus",
    "domain.devices.hostDevices",
    "domain.devices.interfaces[].binding",
    "domain.devices.interfaces[].dhcpOptions",
    "domain.devices.interfaces[].macvtap",
    "domain.devices.interfaces[].passt",
    "domain.devices.interfaces[].passtBinding",
    "domain.devices.interfaces[].pciAddress",
    "domain.devices.interfaces[].slirp",
    "domain.devices.interfaces[].sriov",
    "domain.devices.interfaces[].tag",
    "domain.devices.panicDevices",
    "domain.devices.sound",
    "domain.devices.tpm.persistent",
    "domain.devices.watchdog.diag288",
    "domain.features.hyperv",
    "domain.features.hypervPassthrough",
    "domain.firmware.acpi",
    "domain.ioThreads",
    "domain.ioThreadsPolicy",
    "domain.launchSecurity",
    "domain.memory.maxGuest",
    "domain.memory.reservedOverhead",
    "domain.rebootPolicy",
    "networks[].multus",
    "networks[].pod.vmIPv6NetworkCIDR",
    "resourceClaims",
    "utilityVolumes",
    "volumes[].containerPath",
    "volumes[].dataVolume.hotpluggable",
    "volumes[].downwardMetrics",
    "volumes[].hostDisk",
    "volumes[].memoryDump",
    "volumes[].persistentVolumeClaim.hotpluggable",
    "volumes[].sysprep",
]
SAMPLES: dict[str, Any] = {
    "string": "x", "boolean": True, "int32": 1, "int64": 1, "quantity": "64Mi", "int-or-string": 1,
}  # fmt: skip


def declared(line: str) -> tuple[str, bool]:
    """A field's type and whether it is required."""
    kind = line.split(maxsplit=1)[0]
    return kind.replace("!", "").removesuffix("|null"), kind.endswith("!")


def paths(kind: str, above: str = "") -> Iterator[str]:
    """Every path below a type of the table; "[]" stands for an item of a list."""
    for field, line in TABLE[kind].items():
        path, below = f"{above}.{field}".lstrip("."), declared(line)[0]
        yield path
        while below.startswith("[]"):
            path, below = f"{path}[]", below[2:]
        if below in TABLE:
            yield from paths(below, path)


def sample(kind: str) -> Any:
    """A value of a type with nothing in it but what is required."""
    if kind.startswith("[]"):
        return [sample(kind[2:])]
    if kind.startswith("map:"):
        return {"x": sample(kind[4:])}
    if kind in SAMPLES:
        return SAMPLES[kind]
    fields = TABLE.get(kind, {})
    return {field: sample(declared(line)[0]) for field, line in fields.items() if declared(line)[1]}


def placed(kind: str, path: str) -> Any:
    """The smallest value of a type that has something at `path`."""
    name, _, rest = path.partition(".")
    field = name.rstrip("[]")
    below = declared(TABLE[kind][field])[0]
    value = keyed(sample(below), TABLE[kind][field])
    if rest:
        value = placed(below.removeprefix("[]"), rest)
        value = [value] if below.startswith("[]") else value
    return {**sample(kind), field: value}


def keyed(value: Any, line: str) -> Any:
    """A list whose items the API server tells apart by keys has them, also in items of Kubernetes' own types."""
    keys = line.partition(" list=map:")[2]
    return [{**dict.fromkeys(keys.split(","), "x"), **item} for item in value] if keys else value


def spec_with(*setting: str) -> dict[str, Any]:
    """A minimal spec in which each of these paths is set."""
    spec: dict[str, Any] = {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}}
    for path in setting:
        spec = joined(spec, placed(ROOT, path))
    return spec


def joined(value: Any, other: Any) -> Any:
    if isinstance(value, dict) and isinstance(other, dict):
        return {key: joined(value.get(key), other.get(key)) for key in {**value, **other}}
    if isinstance(value, list) and isinstance(other, list):
        return [joined(value[0], other[0]), *value[1:]] if value and other else value or other
    return value if other is None else other


def pruned(value: Any, schema: dict[str, Any]) -> Any:
    """What the API server keeps of a value that it does not validate."""
    if isinstance(value, list):
        return [pruned(item, schema["items"]) for item in value]
    if not isinstance(value, dict) or schema.get("x-kubernetes-preserve-unknown-fields"):
        return value
    if "additionalProperties" in schema:
        return {key: pruned(below, schema["additionalProperties"]) for key, below in value.items()}
    known = schema.get("properties", {})
    return {key: pruned(below, known[key]) for key, below in value.items() if key in known}
