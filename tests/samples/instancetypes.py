"""Instance types and preferences as JSON, and those that hypothesis makes. For tests of admission and application."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from virt_core.objects.field_table import field_table

Body = dict[str, Any]
API = "instancetype.kubevirt.io/v1beta1"


def instancetype(
    guest: int = 2, size: str = "1Gi", *, kind: str = "VirtualMachineClusterInstancetype", **spec: Any
) -> Body:
    """An instance type; `spec` replaces its parts."""
    parts = {"cpu": {"guest": guest}, "memory": {"guest": size}, **spec}
    return {"apiVersion": API, "kind": kind, "metadata": {"name": "small"}, "spec": parts}


def preference(*, kind: str = "VirtualMachineClusterPreference", **spec: Any) -> Body:
    """A preference."""
    return {"apiVersion": API, "kind": kind, "metadata": {"name": "linux"}, "spec": spec}


def revision(name: str, kept: Body) -> Body:
    """The ControllerRevision that keeps the object."""
    labels = {"instancetype.kubevirt.io/object-name": kept["metadata"]["name"]}
    return {"metadata": {"name": name, "labels": labels}, "data": kept}


_WORDS = (
    "virtio",
    "sata",
    "scsi",
    "usb",
    "none",
    "writeback",
    "native",
    "q35",
    "Always",
    "spread",
    "CoresThreads",
    "",
    "x",
)
_TEXT = st.sampled_from(_WORDS)
_SIZES = st.sampled_from(("0", "1", "64Mi", "1Gi", "2G", "1Ei", "x", "-1", "1e90", 5, 1 << 70))
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": _TEXT,
    "boolean": st.booleans(),
    "int32": st.integers(-2, 300),
    "int64": st.integers(-2, 300) | st.just(1 << 40),
    "quantity": _SIZES,
}


def schema_valid(kind: str) -> st.SearchStrategy[Any]:
    """Values that the CRD's schema admits for a type of KubeVirt's field table."""
    table = field_table()
    if kind not in table:
        return st.fixed_dictionaries({})
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for field, line in table[kind].items():
        declared = line.split()[0]
        target = required if declared.endswith("!") else optional
        target[field] = _value(declared.rstrip("!").removesuffix("|null"))
    return st.fixed_dictionaries(required, optional=optional)


def _value(kind: str) -> st.SearchStrategy[Any]:
    if kind.startswith("[]"):
        return st.lists(_value(kind[2:]), max_size=2)
    if kind.startswith("map:"):
        return st.dictionaries(_TEXT, _value(kind[4:]), max_size=2)
    return _SCALARS[kind] if kind in _SCALARS else schema_valid(kind)


def _optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Body]:
    return st.fixed_dictionaries({}, optional=fields)


_PICK = st.sampled_from
supported_instancetypes = st.fixed_dictionaries(
    {
        "cpu": st.fixed_dictionaries(
            {"guest": st.integers(1, 64)},
            optional={
                "model": _PICK(("host-model", "Haswell-noTSX")),
                "dedicatedCPUPlacement": st.just(False),
                "isolateEmulatorThread": st.just(False),
            },
        ),
        "memory": st.fixed_dictionaries({"guest": _PICK(("256Mi", "1Gi", "2G", 1 << 30))})
        | st.fixed_dictionaries({"guest": st.just("1Gi"), "overcommitPercent": st.integers(0, 100)})
        | st.fixed_dictionaries({"guest": st.just("1Gi"), "hugepages": st.just({"pageSize": "2Mi"})}),
    },
    optional={
        "nodeSelector": st.just({"zone": "a"}),
        "schedulerName": st.just("s"),
        "annotations": st.just({"a": "b"}),
    },
)
"""Specs of instance types that are stored."""

supported_preferences = _optional(
    annotations=st.just({"a": "c"}),
    clock=_optional(
        preferredClockOffset=_PICK(({"utc": {}}, {"timezone": "Europe/Berlin"})),
        preferredTimer=_PICK(({"hpet": {"present": False}}, {"rtc": {"tickPolicy": "catchup"}})),
    ),
    cpu=_optional(
        preferredCPUTopology=_PICK(("sockets", "cores", "threads", "spread", "any", "preferSpread")),
        preferredCPUFeatures=_PICK(([], [{"name": "aes"}])),
        spreadOptions=_optional(
            across=_PICK(("SocketsCores", "CoresThreads", "SocketsCoresThreads")), ratio=st.just(2)
        ),
    ),
    devices=_optional(
        preferredAutoattachGraphicsDevice=st.booleans(),
        preferredAutoattachInputDevice=st.booleans(),
        preferredAutoattachPodInterface=st.booleans(),
        preferredBlockMultiQueue=st.booleans(),
        preferredCdromBus=_PICK(("sata", "scsi")),
        preferredDisableHotplug=st.booleans(),
        preferredDiskBus=_PICK(("virtio", "sata", "scsi", "usb")),
        preferredDiskCache=_PICK(("none", "")),
        preferredDiskIO=_PICK(("native", "threads")),
        preferredDiskDedicatedIoThread=st.booleans(),
        preferredInterfaceMasquerade=st.just({}),
        preferredInterfaceModel=_PICK(("virtio", "e1000")),
        preferredInputBus=_PICK(("usb", "virtio")),
        preferredInputType=st.just("tablet"),
        preferredRng=st.just({}),
        preferredTPM=st.just({"enabled": False}),
    ),
    features=_optional(preferredAcpi=st.just({}), preferredApic=st.just({}), preferredSmm=st.just({})),
    firmware=_PICK(({}, {"preferredUseBios": True}, {"preferredEfi": {"secureBoot": False}})),
    machine=_optional(preferredMachineType=_PICK(("q35", "pc-q35-7.2"))),
    preferredSubdomain=st.just("sub"),
    preferredTerminationGracePeriodSeconds=st.integers(0, 3600),
    requirements=_optional(cpu=st.just({"guest": 1}), memory=st.just({"guest": "64Mi"}), architecture=st.just("amd64")),
)
"""Specs of preferences that are stored."""
