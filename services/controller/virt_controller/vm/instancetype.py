"""What a VirtualMachine's instance type and preference mean for its start. Pure; called by plan.py and status.py.

The objects are kept for the VirtualMachine before anything else is done: from then on only the ControllerRevisions
count. With another referencePolicy the template itself gets what the objects say, and the matchers go.

A ControllerRevision of an older release is replaced while there is no guest: the one of the guest's start names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from virt_core.instancetype.apply import Applied, apply
from virt_core.instancetype.matcher import Chosen, Role, annotation_of, matcher_of
from virt_core.instancetype.stored import (
    EXPAND,
    EXPAND_ALL,
    has_current_name,
    kept_revision,
    replacing_revision,
)
from virt_core.objects.patch import guarded_patch, status_patch
from virt_core.objects.paths import at
from virt_core.vm.virtual_machine import VirtualMachineSpec

from virt_controller.failure import Failure
from virt_controller.ownership import controller_reference
from virt_controller.vm.actions import Action, DeleteRevision, KeepObject, PatchStatus, PatchVm
from virt_controller.vm.observe import Choice, Observed

Body = Mapping[str, Any]
_REASONS = {Role.INSTANCETYPE: "FailedFindInstancetype", Role.PREFERENCE: "FailedFindPreference"}


def choice_failure(observed: Observed) -> Failure | None:
    """Why the objects cannot be used: one is missing, or they conflict with the template."""
    for choice in observed.choices:
        if (why := _missing(choice)) is not None:
            return Failure(_REASONS[choice.role], why, observed.now)
    if any(choice.body is None for choice in observed.choices):
        return None  # not read, because nothing depends on it now
    refusals = applied(observed).refusals
    return Failure("FailedCreate", "; ".join(map(str, refusals)), observed.now) if refusals else None


def _missing(choice: Choice) -> str | None:
    resource, name = choice.resource, choice.matcher.name
    if resource is None:
        return f"spec.{choice.role}.kind: {choice.matcher.kind!r} is not a kind of {choice.role}"
    if choice.revision:
        if choice.was_read and choice.kept is None:
            return f'controllerrevisions.apps "{choice.revision}" with {resource.kind} {name} not found'
        return None
    return f'{resource.plural}.{resource.group} "{name}" not found' if choice.stored is None else None


def must_keep(observed: Observed) -> bool:
    """Whether `keep` has something to do, if nothing fails."""
    unkept = any(not choice.revision or _is_older(observed, choice) for choice in observed.choices)
    return unkept or bool(_stale(observed)) or bool(observed.choices and _expands(observed))


def keep(observed: Observed) -> tuple[Action, ...]:
    """Keep the chosen objects for the VirtualMachine, or expand them into its template."""
    meta, status = observed.vm.metadata, observed.vm.raw_status
    if stale := _stale(observed):
        gone = [at(status[field], ("controllerRevisionRef", "name")) for field in stale]
        after = {key: value for key, value in status.items() if key not in stale}
        deletions = [DeleteRevision(name) for name in gone if name and _policy(observed) == EXPAND_ALL]
        return PatchStatus(tuple(status_patch(meta, status, after))), *deletions
    if _expands(observed):
        return (_expansion(observed),)
    owner, after = controller_reference(observed.vm.reference), dict(status)
    actions: list[Action] = []
    replaced = []
    for choice in observed.choices:
        if choice.resource is None:
            continue
        if choice.stored is not None and not choice.revision:
            manifest = kept_revision(meta, owner, choice.resource, choice.stored)
        elif choice.kept is not None and _is_older(observed, choice):
            manifest = replacing_revision(meta, owner, choice.resource, choice.matcher.name, choice.kept)
            replaced.append(DeleteRevision(choice.revision))
        else:
            continue
        actions.append(KeepObject(manifest))
        after[_field(choice.role)] = {
            "name": choice.matcher.name,
            "kind": choice.matcher.kind or choice.resource.kind,
            "controllerRevisionRef": {"name": manifest["metadata"]["name"]},
        }
    if replaced and observed.start_revision is not None:  # it names what is replaced
        replaced.append(DeleteRevision(observed.start_revision.name))
        del after["startRevision"]
    return *actions, PatchStatus(tuple(status_patch(meta, status, after))), *replaced


def _is_older(observed: Observed, choice: Choice) -> bool:
    """Whether the status names a ControllerRevision of an older release, which no guest was started with."""
    if choice.resource is None or not choice.revision or choice.matcher.revision_name or observed.own is not None:
        return False
    return not has_current_name(choice.revision, observed.vm.metadata.name, choice.resource, choice.matcher.name)


def _field(role: Role) -> str:
    return f"{role.value}Ref"


def _stale(observed: Observed) -> list[str]:
    """Fields of the status about objects that the VirtualMachine no longer names."""
    named = {choice.role for choice in observed.choices}
    return [_field(role) for role in Role if role not in named and observed.vm.raw_status.get(_field(role))]


def _expands(observed: Observed) -> bool:
    policy = _policy(observed)
    kept = any(choice.revision for choice in observed.choices)
    return policy == EXPAND_ALL or (policy == EXPAND and not kept)


def _policy(observed: Observed) -> str:
    return observed.configuration.instancetype.reference_policy


def _expansion(observed: Observed) -> PatchVm:
    spec = msgspec.json.decode(observed.vm.raw_spec)
    before = {key: spec[key] for key in ("template", *(role.value for role in Role)) if key in spec}
    template = {**spec.get("template", {}), **applied(observed).template}
    return PatchVm(tuple(guarded_patch(observed.vm.metadata, before, {"template": template}, "spec")))


def applied(observed: Observed) -> Applied:
    """The template of today with the chosen objects."""
    bodies = {choice.role: choice.body for choice in observed.choices}
    chosen = Chosen(bodies.get(Role.INSTANCETYPE), bodies.get(Role.PREFERENCE))
    return with_chosen(observed.spec, chosen)


def with_chosen(spec: VirtualMachineSpec, chosen: Chosen) -> Applied:
    """The template of a VirtualMachine with an instance type and a preference."""
    template = {"spec": msgspec.json.decode(spec.template.spec)}
    if spec.template.metadata is not None:
        template["metadata"] = spec.template.metadata
    return apply(template, chosen.instancetype, chosen.preference)


def name_annotations(observed: Observed) -> dict[str, str]:
    """Annotations of the VirtualMachineInstance with the names of the chosen objects."""
    return {
        annotation_of(choice.role, choice.resource): choice.matcher.name
        for choice in observed.choices
        if choice.resource is not None
    }


def revisions(observed: Observed) -> dict[Role, str]:
    """Names of the ControllerRevisions of the chosen objects."""
    return {choice.role: choice.revision for choice in observed.choices}


def kept_at_start(spec: VirtualMachineSpec) -> dict[Role, str]:
    """The same of the spec that a guest was started with."""
    stored = {"spec": {Role.INSTANCETYPE.value: spec.instancetype, Role.PREFERENCE.value: spec.preference}}
    matchers = {role: matcher_of(stored, role) for role in Role}
    return {role: matcher.revision_name for role, matcher in matchers.items() if matcher is not None}
