"""The matchers in a VirtualMachine's spec: which instance type and which preference it names. Pure.

Called by virt-api at admission and by virt-controller before a start, each of which reads the objects that the matchers
point to. Nothing here knows what these objects contain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from virt_core.kube.resource import (
    VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES,
    VIRTUAL_MACHINE_CLUSTER_PREFERENCES,
    VIRTUAL_MACHINE_INSTANCETYPES,
    VIRTUAL_MACHINE_PREFERENCES,
    Resource,
)
from virt_core.objects.paths import at
from virt_core.validation.refusal import DNS_NAME, Refusal, Refusals, matching_if_set, refused

Body = Mapping[str, Any]
REJECT, IGNORE = "Reject", "Ignore"


class Role(StrEnum):
    """What a matcher names; the value is the matcher's field in the spec."""

    INSTANCETYPE = "instancetype"
    PREFERENCE = "preference"


RESOURCES: Mapping[Role, tuple[Resource, Resource]] = {
    Role.INSTANCETYPE: (VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES, VIRTUAL_MACHINE_INSTANCETYPES),
    Role.PREFERENCE: (VIRTUAL_MACHINE_CLUSTER_PREFERENCES, VIRTUAL_MACHINE_PREFERENCES),
}
"""The default, which is cluster-wide, and the namespaced resource."""


class Matcher(msgspec.Struct, frozen=True, rename="camel"):
    """spec.instancetype or spec.preference."""

    name: str = ""
    kind: str = ""
    """Singular or plural, in any case; empty: the cluster-wide kind."""

    revision_name: str = ""
    """A ControllerRevision that holds the object; it wins over the object itself."""

    infer_from_volume: str = ""
    infer_from_volume_failure_policy: str = ""

    @property
    def ignores_failure(self) -> bool:
        """Whether the matcher is dropped if the volume says nothing."""
        return self.infer_from_volume_failure_policy == IGNORE


@dataclass(frozen=True, slots=True)
class Chosen:
    """The stored objects that a VirtualMachine's matchers name; None: it names none, or there is none of that name."""

    instancetype: Body | None = None
    preference: Body | None = None


def matcher_of(vm: Body, role: Role) -> Matcher | None:
    """The VirtualMachine's matcher (`vm` as JSON has it); None: it has none, or one that does not decode, which
    admission refuses."""
    found = at(vm, ("spec", role.value))
    if not isinstance(found, Mapping):
        return None
    try:
        return msgspec.convert({key: value for key, value in found.items() if value is not None}, Matcher)
    except msgspec.ValidationError:
        return None


def resource_of(role: Role, matcher: Matcher) -> Resource | None:
    """The resource that the matcher points to; None: there is no such kind."""
    default, namespaced = RESOURCES[role]
    if not matcher.kind:
        return default
    kind = matcher.kind.lower()
    return next((found for found in (default, namespaced) if kind in (found.kind.lower(), found.plural)), None)


def revision_of(vm: Body, role: Role, matcher: Matcher) -> str:
    """The name of the ControllerRevision that holds what the VirtualMachine runs with: the one in its spec, or else the
    one that virt-controller stored for this name and kind (status.instancetypeRef, status.preferenceRef); "": none."""
    if matcher.revision_name:
        return matcher.revision_name
    stored = at(vm, ("status", f"{role.value}Ref"))
    if not isinstance(stored, Mapping) or stored.get("name") != matcher.name:
        return ""
    kind = stored.get("kind")
    if resource_of(role, Matcher(kind=kind if isinstance(kind, str) else "")) != resource_of(role, matcher):
        return ""
    name = at(stored, ("controllerRevisionRef", "name"))
    return name if isinstance(name, str) else ""


def annotation_of(role: Role, resource: Resource) -> str:
    """The annotation of a VirtualMachineInstance that has the name of its instance type or preference."""
    return f"kubevirt.io/{'' if resource.namespaced else 'cluster-'}{role.value}-name"


def matcher_refusals(role: Role, new: Body, old: Body | None) -> Refusals:
    """What is wrong with a matcher that is to be stored. `old`: the VirtualMachine that `new` replaces."""
    matcher, path = matcher_of(new, role), role.value
    if matcher is None:
        return
    if not matcher.name and not matcher.infer_from_volume:
        yield Refusal(f"spec.{path}", "has neither name nor inferFromVolume, use one of them")
    yield from matching_if_set(f"{path}.name", matcher.name, DNS_NAME)
    yield from matching_if_set(f"{path}.revisionName", matcher.revision_name, DNS_NAME)
    if matcher.infer_from_volume:
        for field, value in (("name", matcher.name), ("kind", matcher.kind)):
            if value:
                yield Refusal(f"spec.{path}.{field}", "excludes inferFromVolume: remove one of them")
    if matcher.infer_from_volume_failure_policy not in ("", REJECT, IGNORE):
        field, value = f"{path}.inferFromVolumeFailurePolicy", matcher.infer_from_volume_failure_policy
        yield refused(field, value, f"{REJECT} or {IGNORE}")
    if resource_of(role, matcher) is None:
        yield refused(f"{path}.kind", matcher.kind, " or ".join(resource.kind for resource in RESOURCES[role]))
    before = matcher_of(old or {}, role)
    renamed = before is not None and before.name != matcher.name
    if before is not None and renamed and before.revision_name and before.revision_name == matcher.revision_name:
        message = f"belongs to {before.name}: remove it, or name the revision of {matcher.name[:253]}"
        yield Refusal(f"spec.{path}.revisionName", message)
