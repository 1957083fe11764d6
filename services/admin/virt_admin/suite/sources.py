"""Which collections the suite is read from. Pure; a table for listing.py and following.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from virt_core.conventions.labels import APP
from virt_core.kube import resource
from virt_core.kube.resource import Resource

from virt_admin.suite.objects import Guest, LeaseObject, Node, Pod, Workload


@dataclass(frozen=True, slots=True)
class Source:
    """A collection."""

    field: str
    """Of Observed."""

    resource: Resource
    kind: type[Any]
    """As what an object is decoded."""

    in_namespace: bool = False
    """Whether only that of the suite's namespace is read."""

    labels: str = ""
    optional: bool = False
    """Whether the kind may be unknown to the API server: the operator brings its definition."""


SOURCES = (
    Source("pods", resource.PODS, Pod, in_namespace=True, labels=APP),
    Source("workloads", resource.DEPLOYMENTS, Workload, in_namespace=True, labels=APP),
    Source("workloads", resource.DAEMON_SETS, Workload, in_namespace=True, labels=APP),
    Source("leases", resource.LEASES, LeaseObject, in_namespace=True),
    Source("nodes", resource.NODES, Node),
    Source("guests", resource.VIRTUAL_MACHINE_INSTANCES, Guest, optional=True),
)


def unreadable(source: Source, key: tuple[str, str], why: str) -> str:
    """Of an object that does not decode."""
    return f"{source.resource.plural} {'/'.join(filter(None, key))}: {why}"


def by_field(found: Iterable[tuple[Source, Iterable[Any]]]) -> dict[str, tuple[Any, ...]]:
    """What was found, by the field of Observed; some have several collections."""
    fields: dict[str, tuple[Any, ...]] = {}
    for source, objects in found:
        fields[source.field] = (*fields.get(source.field, ()), *objects)
    return fields
