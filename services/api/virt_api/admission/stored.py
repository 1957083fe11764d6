"""Which stored objects a decision about a VirtualMachine needs, and what they say. Pure.

webhooks.py reads them before the decision; expand.py does for expand-spec. A ControllerRevision stands for the object
whose copy it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from virt_core.instancetype.infer import claims_to_read
from virt_core.instancetype.matcher import Chosen, Role, matcher_of, resource_of, revision_of
from virt_core.instancetype.stored import object_in
from virt_core.kube.resource import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, Resource
from virt_core.validation.refusal import DNS_NAME

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reference:
    """A stored object."""

    resource: Resource
    namespace: str | None
    name: str

    def __str__(self) -> str:
        return f'{self.resource.plural}{"." if self.resource.group else ""}{self.resource.group} "{self.name}"'


@dataclass(frozen=True, slots=True)
class Selection:
    """The stored objects with a label."""

    resource: Resource
    namespace: str
    label: str
    value: str

    def __str__(self) -> str:
        return f"{self.resource.plural}.{self.resource.group} with {self.label}={self.value}"


Needed = Reference | Selection

Found = Mapping[Needed, Body | None]
"""What was read, a Selection as a list of the API server; None: there is no such object."""


def reference_of(vm: Body, role: Role, namespace: str) -> Reference | None:
    """The instance type or preference that the VirtualMachine runs with, or the revision that holds it; None: it names
    none, or not yet, or one of an unknown kind."""
    matcher = matcher_of(vm, role)
    if matcher is None or not matcher.name:
        return None
    if revision := revision_of(vm, role, matcher):
        return _reference(CONTROLLER_REVISIONS, namespace, revision)
    resource = resource_of(role, matcher)
    return _reference(resource, namespace, matcher.name) if resource is not None else None


def _reference(resource: Resource, namespace: str, name: str) -> Reference | None:
    """None: it cannot be the name of an object. It becomes a part of a path, where ".." means another one."""
    if not DNS_NAME.accepts(name):
        return None
    return Reference(resource, namespace if resource.namespaced else None, name)


def claims_of(vm: Body, namespace: str) -> Mapping[str, Reference]:
    """The claims of which the VirtualMachine's matchers are inferred, by name."""
    found = {name: _reference(PERSISTENT_VOLUME_CLAIMS, namespace, name) for name in claims_to_read(vm)}
    return {name: reference for name, reference in found.items() if reference is not None}


def references_of(vm: Body, namespace: str) -> tuple[Reference, ...]:
    """Of both roles."""
    found = (reference_of(vm, role, namespace) for role in Role)
    return tuple(reference for reference in found if reference is not None)


def chosen_of(vm: Body, namespace: str, found: Found) -> Chosen:
    """The instance type and the preference that the VirtualMachine names, among the objects that were read."""
    return Chosen(*(_content(vm, role, reference_of(vm, role, namespace), found) for role in Role))


def _content(vm: Body, role: Role, reference: Reference | None, found: Found) -> Body | None:
    stored = found.get(reference) if reference is not None else None
    if reference is None or stored is None or reference.resource != CONTROLLER_REVISIONS:
        return stored
    matcher = matcher_of(vm, role)
    # A revision of another object is not what the VirtualMachine names, as in KubeVirt.
    return object_in(stored, matcher.name) if matcher is not None else None
