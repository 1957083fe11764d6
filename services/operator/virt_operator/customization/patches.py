"""Decodes the patches of a KubeVirt object, and applies a patch to an object. Pure; called by customize.py.

`spec.customizeComponents` has KubeVirt's form: `patches` of the types json (RFC 6902), merge (RFC 7386) and strategic,
applied in their order, then `flags`, which become arguments of the component's container.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from virt_core.conventions import components

from virt_operator.customization.merge_keys import MERGE_KEYS
from virt_operator.customization.strategic_merge import BadPatch, strategic_merge
from virt_operator.strategy.ref import Body, Ref
from virt_operator.suite.spec import RefusedSpec

FIELD = "customizeComponents"
TYPES = ("json", "merge", "strategic")
_ANY = "*"
_FLAGGED = {
    "api": ("Deployment", components.API),
    "controller": ("Deployment", components.CONTROLLER),
    "handler": ("DaemonSet", components.HANDLER),
}
# Flags of the components (virt_core/flags.py), and their values.
_FLAGS = {"v": tuple(map(str, range(10)))}


class _PatchEntry(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    resource_type: str
    resource_name: str
    patch: str
    type: str


class _Customization(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    patches: list[_PatchEntry] | None = None
    flags: dict[str, dict[str, str] | None] | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """A decoded patch."""

    where: str
    """The patch's field, for example "spec.customizeComponents.patches[0]"."""

    kind: str
    name: str
    """Of the objects to change, case-insensitive; "*" matches all."""

    type: str
    """One of TYPES."""

    content: Any
    """The decoded JSON."""

    @property
    def objects(self) -> str:
        """The matched objects, for a message."""
        return f"{self.kind} {self.name}"

    def changes(self, ref: Ref) -> bool:
        """Whether the patch matches the object."""
        return _matches(self.kind, ref.kind) and _matches(self.name, ref.name)

    def applied(self, body: Body) -> Body:
        """`body` after the patch.

        Raises:
            BadPatch: it does not apply.
        """
        after = _APPLIED[self.type](body, self.content)
        if not isinstance(after, dict):
            raise BadPatch(f"the result is not an object but {after!r:.50}")
        return after


def patches_of(spec: Mapping[str, Any]) -> tuple[Patch, ...]:
    """The patches of a KubeVirt object's spec, in the order in which they are applied.

    Raises:
        RefusedSpec: one cannot be read; the message names its field.
    """
    try:
        customization = msgspec.convert(spec.get(FIELD) or {}, _Customization)
    except msgspec.ValidationError as error:
        raise RefusedSpec("InvalidField", f"spec.{FIELD}: {error}") from error
    found = [_read(f"spec.{FIELD}.patches[{index}]", patch) for index, patch in enumerate(customization.patches or ())]
    return (*found, *_flags(customization.flags or {}))


def _read(where: str, entry: _PatchEntry) -> Patch:
    if entry.type not in TYPES:
        raise RefusedSpec("InvalidField", f"{where}.type: {entry.type!r} is not one of {', '.join(TYPES)}")
    try:
        content = msgspec.json.decode(entry.patch)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RefusedSpec("InvalidField", f"{where}.patch: {entry.patch!r:.100} is not JSON: {error}") from error
    wanted = list if entry.type == "json" else dict
    if not isinstance(content, wanted):
        form = "a list of operations" if entry.type == "json" else "an object"
        raise RefusedSpec("InvalidField", f"{where}.patch: a patch of type {entry.type!r} is {form}")
    return Patch(where, entry.resource_type, entry.resource_name, entry.type, content)


def _flags(flags_by_component: Mapping[str, Mapping[str, str] | None]) -> list[Patch]:
    found = []
    for component, flags in flags_by_component.items():
        where = f"spec.{FIELD}.flags.{component}"
        if component not in _FLAGGED:
            raise RefusedSpec("InvalidField", f"{where}: {component!r} is not one of {', '.join(_FLAGGED)}")
        arguments: list[str] = []
        for flag, value in sorted((flags or {}).items()):
            allowed = _FLAGS.get(flag.lower())
            if allowed is None:
                raise RefusedSpec("InvalidField", f"{where}: {flag!r} is not one of {', '.join(_FLAGS)}")
            if value not in allowed:
                raise RefusedSpec("InvalidField", f"{where}.{flag}: {value!r} is not one of {', '.join(allowed)}")
            arguments += [f"--{flag.lower()}", value]
        if arguments:
            kind, name = _FLAGGED[component]
            container = {"name": name, "args": arguments}
            content = {"spec": {"template": {"spec": {"containers": [container]}}}}
            found.append(Patch(where, kind, name, "strategic", content))
    return found


def _matches(wanted: str, found: str) -> bool:
    return wanted == _ANY or wanted.lower() == found.lower()


def _json(body: Body, operations: list[Any]) -> Any:
    import jsonpatch

    try:
        return jsonpatch.apply_patch(body, operations)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, ValueError) as error:
        raise BadPatch(str(error)) from error


def _merge(body: Body, content: Body) -> Any:
    return _merged(body, content)


def _merged(document: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    result = dict(document) if isinstance(document, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def _strategic(body: Body, content: Body) -> Any:
    return strategic_merge(body, content, MERGE_KEYS[body["kind"]])


_APPLIED: Mapping[str, Callable[[Body, Any], Any]] = {"json": _json, "merge": _merge, "strategic": _strategic}
