"""What the mutating webhook stores of a VirtualMachine. Pure; called by virt-api with objects as JSON has them.

Only what must stay the same over all restarts of the guest is stored: identity, machine type, architecture. CPU,
memory, disks and networks get their defaults at each start, as in KubeVirt, so that a manifest which is applied again
shows no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from virt_core.conventions.labels import VM_FINALIZER
from virt_core.objects.kubevirt import Configuration

Body = dict[str, Any]
_KEPT = (
    ("domain", "firmware", "uuid"),
    ("domain", "firmware", "serial"),
    ("domain", "machine", "type"),
    ("architecture",),
)
"""Paths below spec.template.spec."""


def create_patch(vm: Mapping[str, Any], configuration: Configuration, new_uuid: Callable[[], str]) -> list[Body]:
    """The JSON patch of a new VirtualMachine; empty if its template is none, which the validating webhook refuses."""
    spec = _template_spec(vm)
    if spec is None:
        return []
    machine_type, architecture = configuration.default_machine_type, "amd64"
    values = dict(zip(_KEPT, (new_uuid(), new_uuid(), machine_type, architecture), strict=True))
    finalizers = list((vm.get("metadata") or {}).get("finalizers") or [])
    operations = _replaced_spec(spec, values)
    if VM_FINALIZER not in finalizers:
        operations.append({"op": "add", "path": "/metadata/finalizers", "value": [*finalizers, VM_FINALIZER]})
    return operations


def update_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Body]:
    """The JSON patch of a changed VirtualMachine: a manifest that does not name the guest's identity keeps it.

    KubeVirt loses it when the whole object is replaced (`kubectl replace`).
    """
    before, after = _template_spec(old), _template_spec(new)
    if before is None or after is None:
        return []
    return _replaced_spec(after, {path: value for path in _KEPT if (value := _at(before, path))})


def _replaced_spec(spec: Mapping[str, Any], values: Mapping[tuple[str, ...], Any]) -> list[Body]:
    filled: Any = spec
    for path, value in values.items():
        filled = _filled(filled, path, value)
    return [] if filled == spec else [{"op": "add", "path": "/spec/template/spec", "value": filled}]


def _filled(value: Any, path: tuple[str, ...], default: Any) -> Any:
    """`value` with `default` at `path` if nothing is there. What is no object on the way stays as it is."""
    if not path:
        return value or default
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        return value
    return {**value, path[0]: _filled(value.get(path[0]), path[1:], default)}


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _template_spec(vm: Mapping[str, Any]) -> Mapping[str, Any] | None:
    spec = _at(vm, ("spec", "template", "spec"))
    return spec if isinstance(spec, Mapping) else None
