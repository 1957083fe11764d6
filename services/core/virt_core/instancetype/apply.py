"""What an instance type and a preference make of a VirtualMachine's template. Pure.

Called by virt-api, which admits the result or names the conflicts; by virt-controller, which starts it; and for
expand-spec. So a guest is started with exactly what was admitted. None of them changes the stored template.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from virt_core.instancetype.conflicts import conflicts
from virt_core.instancetype.preferred import with_preference
from virt_core.instancetype.spec import InstancetypeSpec, PreferenceSpec, spec_of, unsupported_fields
from virt_core.instancetype.topology import topology, topology_refusals
from virt_core.objects.paths import Path, at, put
from virt_core.objects.quantity import binary_quantity, parse_bytes
from virt_core.validation.refusal import Refusal
from virt_core.vmi.spec.effective import MAX_BYTES

Body = Mapping[str, Any]
_ANNOTATIONS: Path = ("metadata", "annotations")
_COPIED: tuple[tuple[Path, Path], ...] = (
    (("nodeSelector",), ("nodeSelector",)),
    (("schedulerName",), ("schedulerName",)),
    (("cpu", "model"), ("domain", "cpu", "model")),
    (("cpu", "dedicatedCPUPlacement"), ("domain", "cpu", "dedicatedCpuPlacement")),
    (("cpu", "isolateEmulatorThread"), ("domain", "cpu", "isolateEmulatorThread")),
    (("memory", "guest"), ("domain", "memory", "guest")),
    (("memory", "hugepages"), ("domain", "memory", "hugepages")),
)
"""Field of the instance type, and the field of the template's spec that it becomes."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The template with instance type and preference, or why they cannot be applied to it."""

    template: Body
    """Shares with the old template what is the same. With refusals: the old template."""

    refusals: tuple[Refusal, ...] = ()
    """Conflicts with the instance type by field, or fields of either that this release cannot run."""


def apply(template: Body, instancetype: Body | None, preference: Body | None) -> Applied:
    """The template ({metadata, spec}) with both objects, as the API server stores them; None: there is none.

    The result is not validated: virt_core.vmi.accepted does that for any template.
    """
    refusals = tuple(_unsupported(instancetype, preference))
    if refusals:
        return Applied(template, refusals)
    kind = spec_of(instancetype) if instancetype is not None else None
    preferred: Body = spec_of(preference) if preference is not None else {}
    if kind is not None:
        refusals = tuple(topology_refusals(kind["cpu"]["guest"], preferred)) or tuple(conflicts(template, kind))
        if refusals:
            return Applied(template, refusals)
        template = _with_instancetype(template, kind, preferred)
    if preference is not None:
        spec = with_preference(template.get("spec"), preferred)
        template = _annotated({**template, "spec": spec}, preferred.get("annotations"))
    return Applied(template)


def _unsupported(instancetype: Body | None, preference: Body | None) -> Iterator[Refusal]:
    if instancetype is not None:
        yield from _cannot_run("instancetype", instancetype, InstancetypeSpec)
    if preference is not None:
        yield from _cannot_run("preference", preference, PreferenceSpec)


def _cannot_run(role: str, stored: Body, kind: type[InstancetypeSpec] | type[PreferenceSpec]) -> Iterator[Refusal]:
    """Such an object was stored while the webhook was away, or by another release."""
    name = at(stored, ("metadata", "name"))
    for refusal in unsupported_fields(stored, kind):
        yield Refusal(f"spec.{role}", f"cannot use {stored.get('kind', role)} {name}: {refusal}")


def _with_instancetype(template: Body, instancetype: Body, preference: Body) -> Body:
    """The template with an instance type that conflicts with nothing in it."""
    spec = template.get("spec")
    for source, target in _COPIED:
        if (value := at(instancetype, source)) is not None:
            spec = put(spec, target, value)
    for level, count in topology(instancetype["cpu"]["guest"], preference).items():
        spec = put(spec, ("domain", "cpu", level), count)
    request = _memory_request(instancetype["memory"])
    if request is not None:
        spec = put(spec, ("domain", "resources", "requests", "memory"), request)
    return _annotated({**template, "spec": spec}, instancetype.get("annotations"))


def _memory_request(memory: Body) -> str | None:
    """The pod's request where the instance type overcommits memory; None: it does not, or the rules for a guest's
    memory refuse its size."""
    percent = memory.get("overcommitPercent") or 0
    try:
        size = parse_bytes(str(memory["guest"]))
    except ValueError:
        return None
    if not percent or not 0 <= size <= MAX_BYTES:
        return None
    # As KubeVirt calculates, in 32 bits: a different request would be a different pod.
    return binary_quantity(int(_float32(_float32(size) * _float32(1 - _float32(percent / 100)))))


def _float32(value: float) -> float:
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


def _annotated(template: Body, annotations: Mapping[str, str] | None) -> Body:
    """The template with those annotations that it does not have."""
    existing = at(template, _ANNOTATIONS) or {}
    if not annotations or not isinstance(existing, Mapping):
        return template
    annotated: Body = put(template, _ANNOTATIONS, {**annotations, **existing})
    return annotated
