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
