"""The instance types that come with the suite, with the names and sizes of KubeVirt's common-instancetypes v1.6.0.
Pure; called by desired.py.

Series that this release cannot run are left out: cx1, d1, n1 and rt1 need CPUs of their own (docs/instance-types.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from virt_core.kube.resource import VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES

from virt_operator.strategy.ref import Body

GROUP = VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES.group
BUNDLE_LABELS = {f"{GROUP}/vendor": "kubevirt.io", f"{GROUP}/common-instancetypes-version": "v1.6.0"}
"""By which tools recognize the bundle."""

_U1 = {
    "nano": (1, "512Mi"),
    "micro": (1, "1Gi"),
    "small": (1, "2Gi"),
    "medium": (1, "4Gi"),
    "2xmedium": (2, "4Gi"),
    "large": (2, "8Gi"),
    "xlarge": (4, "16Gi"),
    "2xlarge": (8, "32Gi"),
    "4xlarge": (16, "64Gi"),
    "8xlarge": (32, "128Gi"),
}
_M1 = {
    "large": (2, "16Gi"),
    "xlarge": (4, "32Gi"),
    "2xlarge": (8, "64Gi"),
    "4xlarge": (16, "128Gi"),
    "8xlarge": (32, "256Gi"),
}


@dataclass(frozen=True, slots=True)
class _Series:
    """Instance types that differ in size only."""

    name: str
    kind: str
    """The label `class`."""

    icon: str
    title: str
    text: str
    sizes: Mapping[str, tuple[int, str]]
    """CPUs and memory by the name of the size."""

    memory: Mapping[str, Any] = field(default_factory=dict)
    """Fields of spec.memory that all sizes have."""


_SERIES = (
    _Series(
        "u1",
        "general.purpose",
        "pficon-server-group",
        "General Purpose",
        "Shares the CPUs of its node with other machines, for workloads without special needs.",
        _U1,
    ),
    _Series(
        "o1",
        "overcommitted",
        "pficon-virtual-machine",
        "Overcommitted",
        "As the series u1, but the pod requests half of the guest's memory, so more machines fit on a node.",
        {size: made for size, made in _U1.items() if size != "2xmedium"},
        {"overcommitPercent": 50},
    ),
    *(
        _Series(
            "m1",
            "memory.intensive",
            "fa-memory",
            "Memory Intensive",
            f"Much memory for each CPU, in huge pages of {page}, which the node must have.",
            {f"{size}{suffix}": made for size, made in _M1.items()},
            {"hugepages": {"pageSize": page}},
        )
        for suffix, page in (("", "2Mi"), ("1gi", "1Gi"))
    ),
)


def common_instancetypes() -> list[Body]:
    """All objects, sorted by name."""
    made = [_instancetype(series, size) for series in _SERIES for size in series.sizes]
    return sorted(made, key=lambda body: str(body["metadata"]["name"]))


def _instancetype(series: _Series, size: str) -> Body:
    cpus, memory = series.sizes[size]
    words = {"class": series.kind, "cpu": str(cpus), "icon-pf": series.icon, "memory": memory, "size": size}
    words["version"] = series.name[-1]
    if "hugepages" in series.memory:
        words["hugepages"] = series.memory["hugepages"]["pageSize"]
    return {
        "apiVersion": VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES.api_version,
        "kind": VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES.kind,
        "metadata": {
            "name": f"{series.name}.{size}",
            "labels": {**BUNDLE_LABELS, **{f"{GROUP}/{key}": value for key, value in words.items()}},
            "annotations": {f"{GROUP}/displayName": series.title, f"{GROUP}/description": series.text},
        },
        "spec": {"cpu": {"guest": cpus}, "memory": {"guest": memory, **series.memory}},
    }
