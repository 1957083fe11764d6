"""Every field of KubeVirt's VirtualMachineInstanceSpec is supported, or refused with exactly its path.

Generated from the field table that the CRD is made of, with objects as the API server stores them under
fieldValidation=Ignore: pruned by the CRD's schema, so that nothing of KubeVirt's may be lost before we refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import inspect
from virt_core.objects.field_table import field_table
from virt_core.objects.kubevirt import Configuration
from virt_core.testing.patches import merge_patch
from virt_core.validation.refusal import UnsupportedSpec
from virt_core.validation.unsupported import unsupported
from virt_core.vmi.admission import admit_create
from virt_core.vmi.instance import read_spec
from virt_core.vmi.spec.domain import VmiSpec
from virt_operator.strategy.crds import virtual_machine_instances

TABLE = field_table()
ROOT = "v1.VirtualMachineInstanceSpec"
# What this release does not do, at the highest level: what is below goes with it. Whoever supports one takes it out.
UNSUPPORTED = [
    "accessCredentials",
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
    "volumes[].dataVolume",
    "volumes[].downwardMetrics",
    "volumes[].hostDisk",
    "volumes[].memoryDump",
    "volumes[].persistentVolumeClaim.hotpluggable",
    "volumes[].sysprep",
]
# Fields of Kubernetes' own types, which are not in KubeVirt's table.
OF_KUBERNETES = {
    *(f"volumes[].{source}.{field}.name" for source in ("cloudInitNoCloud", "cloudInitConfigDrive")
      for field in ("secretRef", "networkDataSecretRef")),
    "volumes[].ephemeral.persistentVolumeClaim.claimName",
    "volumes[].ephemeral.persistentVolumeClaim.readOnly",
}  # fmt: skip
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


PATHS = list(paths(ROOT))


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
        return [joined(value[0], other[0])]
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


def stored(spec: dict[str, Any]) -> dict[str, Any]:
    versions = virtual_machine_instances()["spec"]["versions"]
    schema = next(version for version in versions if version["name"] == "v1")["schema"]["openAPIV3Schema"]
    body: dict[str, Any] = pruned({"metadata": {"name": "g"}, "spec": spec}, schema)
    return {**body, "metadata": {"name": "g"}}


def refusing(path: str) -> str | None:
    """The path that is refused if `path` is set, with indexes as they are told; None: it is supported."""
    for refused in UNSUPPORTED:
        if re.match(re.escape(refused) + r"($|\.|\[)", path):
            return f"spec.{refused.replace('[]', '[0]')}"
    return None


def refused_fields(spec: dict[str, Any]) -> set[str]:
    """Fields of which a refusal says that they are not supported."""
    return {
        refusal.field
        for refusal in admit_create(stored(spec), Configuration())
        if "is not supported" in refusal.message
    }


@pytest.mark.parametrize("path", PATHS)
def test_each_field_of_kubevirts_is_supported_or_refused_with_exactly_its_path(path: str) -> None:
    spec = spec_with(path)
    assert stored(spec)["spec"] == spec, "the CRD loses what was set"
    refused = refusing(path)
    assert refused_fields(spec) == ({refused} if refused else set())
    if refused:
        with pytest.raises(UnsupportedSpec) as error:
            read_spec(spec)
        assert f"{refused}: is not supported by this release, remove it" in str(error.value)


def test_all_that_is_not_supported_is_named_at_once_in_one_message() -> None:
    spec = spec_with(*UNSUPPORTED)
    expected = {f"spec.{path.replace('[]', '[0]')}" for path in UNSUPPORTED}
    assert refused_fields(spec) == expected
    with pytest.raises(UnsupportedSpec) as error:
        read_spec(spec)
    assert all(f"{path}: is not supported" in str(error.value) for path in expected)


def test_each_item_of_a_list_is_named_by_its_index() -> None:
    disks = [{"name": "a"}, {"name": "b", "tag": "t"}, {"name": "c", "disk": {"pciAddress": "0"}}]
    assert refused_fields(merge_patch(spec_with(), {"domain": {"devices": {"disks": disks}}})) == {
        "spec.domain.devices.disks[1].tag",
        "spec.domain.devices.disks[2].disk.pciAddress",
    }


def test_what_kubevirt_does_not_have_either_is_refused_where_the_api_server_let_it_through() -> None:
    spec = merge_patch(spec_with(), {"domain": {"cpu": {"sokets": 2}}, "extra": {"deep": [1]}})
    assert {str(refusal) for refusal in unsupported(spec, VmiSpec)} == {
        "spec.domain.cpu.sokets: is not supported by this release, remove it",
        "spec.extra: is not supported by this release, remove it",
    }


def ours(kind: inspect.Type, path: str = "") -> Iterator[tuple[str, inspect.Type]]:
    """Every path below one of our types, and its type."""
    if isinstance(kind, inspect.UnionType):
        kind = next(option for option in kind.types if not isinstance(option, inspect.NoneType))
    if isinstance(kind, inspect.ListType):
        yield from ours(kind.item_type, f"{path}[]")
    if isinstance(kind, inspect.StructType):
        for field in kind.fields:
            below = f"{path}.{field.encode_name}".lstrip(".")
            yield below, field.type
            yield from ours(field.type, below)


def test_no_type_of_ours_has_a_field_that_kubevirt_has_not() -> None:
    supported = {path for path, _ in ours(inspect.type_info(VmiSpec))}
    assert supported - set(PATHS) == OF_KUBERNETES
    assert {path for path in PATHS if refusing(path) is None} == supported - OF_KUBERNETES


def test_the_list_of_what_is_not_supported_has_nothing_in_it_that_kubevirt_has_not() -> None:
    assert set(UNSUPPORTED) <= set(PATHS)
    assert len(PATHS) > 370
