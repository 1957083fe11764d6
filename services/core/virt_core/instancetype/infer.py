"""Which instance type and preference a VirtualMachine's volume stands for (inferFromVolume). Pure.

Called by virt-api's mutating webhook, which reads the claims. The matcher is stored with what was found, so it is
resolved once. Labels of a claim are read; sources that only CDI knows are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from virt_core.instancetype.matcher import Matcher, Role, matcher_of
from virt_core.objects.paths import Path, at, put, without

Body = Mapping[str, Any]
LABELS: Mapping[Role, tuple[str, str]] = {
    Role.INSTANCETYPE: (
        "instancetype.kubevirt.io/default-instancetype",
        "instancetype.kubevirt.io/default-instancetype-kind",
    ),
    Role.PREFERENCE: (
        "instancetype.kubevirt.io/default-preference",
        "instancetype.kubevirt.io/default-preference-kind",
    ),
}
"""Labels of a claim: name and kind."""

_MEMORY: Path = ("spec", "template", "spec", "domain", "memory")


@dataclass(frozen=True, slots=True)
class Inferred:
    """The VirtualMachine with its matchers resolved, and the JSON patch that makes it so."""

    vm: Body
    patch: tuple[dict[str, Any], ...] = ()
    failure: str = ""
    """Why a matcher cannot be resolved; "": all are."""


@dataclass(frozen=True, slots=True)
class _NothingFound:
    reason: str
    may_be_ignored: bool = False
    """By the failure policy Ignore: the volume cannot say anything, or does not."""


def claims_to_read(vm: Body) -> tuple[str, ...]:
    """Names of the claims that `inferred` needs."""
    names = (_claim_of(vm, matcher) for _, matcher in _open_matchers(vm))
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def inferred(vm: Body, old: Body | None, claims: Mapping[str, Body | None]) -> Inferred:
    """The VirtualMachine with each matcher's name and kind from its volume. `old`: what it replaces; `claims`: those of
    `claims_to_read` that exist."""
    result = Inferred(vm)
    for role in Role:
        if (kept := _resolved_before(vm, old, role)) is not None:
            result = _with(result, role, kept, clears_memory=_clears_memory(vm, role))
    for role, matcher in _open_matchers(vm):
        found = _found(vm, role, matcher, claims)
        if _is_of_template(vm, matcher):
            continue  # validation refuses dataVolumeTemplates by name
        if not isinstance(found, _NothingFound):
            result = _with(result, role, found, clears_memory=_clears_memory(vm, role))
        elif found.may_be_ignored and matcher.ignores_failure:
            result = _with(result, role, None, clears_memory=False)
        else:
            return Inferred(vm, failure=found.reason)
    return result


def _open_matchers(vm: Body) -> Iterator[tuple[Role, Matcher]]:
    """Matchers that name a volume and nothing else; others are validation's."""
    for role in Role:
        matcher = matcher_of(vm, role)
        if matcher is not None and matcher.infer_from_volume and not (matcher.name or matcher.kind):
            yield role, matcher


def _resolved_before(vm: Body, old: Body | None, role: Role) -> dict[str, str] | None:
    """The stored matcher, if `vm` is the result of merging a manifest with inferFromVolume into it: a manifest that is
    applied again changes nothing."""
    new, before = matcher_of(vm, role), matcher_of(old or {}, role)
    if new is None or before is None or not new.infer_from_volume or before.infer_from_volume or not before.name:
        return None
    if (new.name, new.kind, new.revision_name) != (before.name, before.kind, before.revision_name):
        return None
    fields = {"name": new.name, "kind": new.kind, "revisionName": new.revision_name}
    return {field: value for field, value in fields.items() if value}


def _claim_of(vm: Body, matcher: Matcher) -> str | _NothingFound:
    volumes = at(vm, ("spec", "template", "spec", "volumes"))
    named = [volume for volume in volumes if isinstance(volume, Mapping)] if isinstance(volumes, list) else []
    volume = next((volume for volume in named if volume.get("name") == matcher.infer_from_volume), None)
    if volume is None:
        return _NothingFound(f"unable to find volume {matcher.infer_from_volume} to infer defaults")
    # A data volume is the claim of its name.
    name = at(volume, ("persistentVolumeClaim", "claimName")) or at(volume, ("dataVolume", "name"))
    if isinstance(name, str):
        return name
    message = f"unable to infer defaults from volume {matcher.infer_from_volume} as type is not supported"
    return _NothingFound(message, may_be_ignored=True)


def _is_of_template(vm: Body, matcher: Matcher) -> bool:
    """Whether the volume is one of spec.dataVolumeTemplates, which this release does not make."""
    templates = at(vm, ("spec", "dataVolumeTemplates"))
    names = [at(template, ("metadata", "name")) for template in templates] if isinstance(templates, list) else []
    return _claim_of(vm, matcher) in names


def _found(vm: Body, role: Role, matcher: Matcher, claims: Mapping[str, Body | None]) -> dict[str, str] | _NothingFound:
    claim = _claim_of(vm, matcher)
    if isinstance(claim, _NothingFound):
        return claim
    body = claims.get(claim)
    if body is None:
        return _NothingFound(f'persistentvolumeclaims "{claim}" not found')
    labels = at(body, ("metadata", "labels")) or {}
    name_label, kind_label = LABELS[role]
    if name_label not in labels:
        return _NothingFound(f"unable to find required {name_label} label on the volume", may_be_ignored=True)
    found = {"name": labels[name_label], "kind": labels.get(kind_label, "")}
    return {field: value for field, value in found.items() if value}


def _clears_memory(vm: Body, role: Role) -> bool:
    """With the policy Ignore, the template's memory is for the case that nothing is found."""
    matcher = matcher_of(vm, role)
    return role is Role.INSTANCETYPE and matcher is not None and matcher.ignores_failure


def _with(result: Inferred, role: Role, matcher: dict[str, str] | None, *, clears_memory: bool) -> Inferred:
    path: Path = ("spec", role.value)
    vm = without(result.vm, path) if matcher is None else put(result.vm, path, matcher)
    operation: dict[str, Any] = {"op": "remove", "path": f"/spec/{role.value}"}
    if matcher is not None:
        operation = {**operation, "op": "add", "value": matcher}
    operations = [operation]
    if clears_memory and at(vm, _MEMORY) is not None:
        vm = without(vm, _MEMORY)
        operations.append({"op": "remove", "path": f"/{'/'.join(_MEMORY)}"})
    return Inferred(vm, (*result.patch, *operations))
