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
from virt_core.objects.paths import Path, at, filled

Body = dict[str, Any]
Preference = Mapping[str, Any] | None
_KEPT = (
    ("domain", "firmware", "uuid"),
    ("domain", "firmware", "serial"),
    ("domain", "machine", "type"),
    ("architecture",),
)
"""Paths below spec.template.spec."""


def create_patch(
    vm: Mapping[str, Any], configuration: Configuration, new_uuid: Callable[[], str], preference: Preference = None
) -> list[Body]:
    """The JSON patch of a new VirtualMachine; empty if its template is none, which the validating webhook refuses.

    `preference` is the stored object that the VirtualMachine names, if there is one. It goes before the cluster's
    configuration.
    """
    spec = _template_spec(vm)
    if spec is None:
        return []
    machine_type = at(preference, ("spec", "machine", "preferredMachineType")) or configuration.default_machine_type
    architecture = at(preference, ("spec", "preferredArchitecture")) or "amd64"
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
    return _replaced_spec(after, {path: value for path in _KEPT if (value := at(before, path))})


def _replaced_spec(spec: Mapping[str, Any], values: Mapping[Path, Any]) -> list[Body]:
    kept: Any = spec
    for path, value in values.items():
        kept = filled(kept, path, value)
    return [] if kept == spec else [{"op": "add", "path": "/spec/template/spec", "value": kept}]


def _template_spec(vm: Mapping[str, Any]) -> Mapping[str, Any] | None:
    spec = at(vm, ("spec", "template", "spec"))
    return spec if isinstance(spec, Mapping) else None
