"""The launchers of guests by build, as virt-handlers count them. Pure; part of the matrix (matrix.py)."""

from __future__ import annotations

import msgspec
from kubevirt.admin.v1 import admin_pb2


class Launchers(msgspec.Struct, frozen=True, rename="camel"):
    """The launchers of a build. The JSON of `-o json`: its names only grow."""

    release: str
    feature_level: int
    contracts: list[str]
    features: list[str]
    count: int
    example: str
    """Namespace and name of a VirtualMachineInstance that has one."""


def launchers_of(found: admin_pb2.Launchers) -> Launchers:
    """As virt-operator says."""
    return Launchers(
        found.release,
        found.feature_level,
        [*found.contracts],
        [*found.features],
        found.count,
        f"{found.example_namespace}/{found.example_name}",
    )


def launcher_row(found: Launchers) -> tuple[str, ...]:
    """The cells of the table of launchers."""
    contracts = ", ".join(name.removeprefix("kubevirt.") for name in found.contracts)
    features = ", ".join(found.features)
    return found.release, str(found.feature_level), str(found.count), contracts, features, found.example
