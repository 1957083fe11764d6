"""Which fields of a template an instance type sets as well. Pure; called by apply.py.

A preference never conflicts: it fills what the template leaves open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from virt_core.objects.paths import Path, at
from virt_core.validation.refusal import Refusal

Body = Mapping[str, Any]


class _Field(NamedTuple):
    """A field of the template's spec that must not be set beside `other` of the instance type; (): beside any."""

    path: Path
    other: Path = ()
    shown: str = ""
    """KubeVirt's name of it in the refusal, where it has another."""


# In KubeVirt's order.
_PLACEMENT = (_Field(("nodeSelector",), ("nodeSelector",)), _Field(("schedulerName",), ("schedulerName",)))
_CPU = (
    _Field(("domain", "resources", "requests", "cpu")),
    _Field(("domain", "resources", "limits", "cpu")),
    _Field(("domain", "cpu", "sockets")),
    _Field(("domain", "cpu", "cores")),
    _Field(("domain", "cpu", "threads")),
    _Field(("domain", "cpu", "model"), ("cpu", "model")),
    _Field(
        ("domain", "cpu", "dedicatedCpuPlacement"), ("cpu", "dedicatedCPUPlacement"), "domain.cpu.dedicatedCPUPlacement"
    ),
    _Field(("domain", "cpu", "isolateEmulatorThread"), ("cpu", "isolateEmulatorThread")),
)
_MEMORY = (
    _Field(("domain", "memory", "guest")),
    _Field(("domain", "memory", "hugepages"), ("memory", "hugepages")),
    _Field(("domain", "resources", "requests", "memory")),
    _Field(("domain", "resources", "limits", "memory")),
)
_UNSET: tuple[Any, ...] = (None, "", 0, {}, [])  # False is 0


def conflicts(template: Body, instancetype: Body) -> Iterator[Refusal]:
    """A refusal for each field of the template that conflicts with the instance type's spec, in KubeVirt's words.

    As in KubeVirt only the first is named of those about memory.
    """
    spec = template.get("spec")
    yield from map(_refusal, (*_found(_PLACEMENT, spec, instancetype), *_found(_CPU, spec, instancetype)))
    yield from map(_refusal, list(_found(_MEMORY, spec, instancetype))[:1])
    existing = at(template, ("metadata", "annotations"))
    for name, value in sorted((instancetype.get("annotations") or {}).items()):
        if isinstance(existing, Mapping) and existing.get(name, value) != value:
            yield _refusal(f"annotations.{name}")


def _found(fields: tuple[_Field, ...], spec: Any, instancetype: Body) -> Iterator[str]:
    for field in fields:
        if at(spec, field.path) in _UNSET or (field.other and at(instancetype, field.other) is None):
            continue
        yield f"spec.template.spec.{field.shown or '.'.join(field.path)}"


def _refusal(path: str) -> Refusal:
    return Refusal(path, f"VM field(s) {path} conflicts with selected instance type")
