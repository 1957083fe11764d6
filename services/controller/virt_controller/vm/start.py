"""The VirtualMachineInstance that a VirtualMachine is started as, and the ControllerRevision that keeps what it was
started with. Pure; called by plan.py.

Of the VirtualMachine's own metadata only the annotation that names a launcher is copied. Otherwise the metadata is the
template's, as in KubeVirt.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

import msgspec
from virt_core.conventions import labels
from virt_core.instancetype.matcher import Role
from virt_core.objects.meta import ObjectMeta
from virt_core.vm.virtual_machine import API_VERSION, VirtualMachine
from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.status import NOT_RUNNING_YET

from virt_controller.ownership import controller_reference

Manifest = dict[str, Any]
# KubeVirt's, so that a VirtualMachine without a UUID of its own has the same one here and there.
_FIRMWARE = UUID("6a1a24a1-4061-4607-8bf4-a3963d0c5895")
_COPIED = ("labels", "annotations")


def revision_name(vm: VirtualMachine) -> str:
    """The ControllerRevision of a start with the VirtualMachine's current spec."""
    return f"{revision_prefix(vm)}{vm.metadata.generation}"


def revision_prefix(vm: VirtualMachine) -> str:
    """What the names of all its ControllerRevisions begin with."""
    return f"revision-start-vm-{vm.metadata.uid}-"


def revision_of(vmi: VirtualMachineInstance) -> str:
    """The name of the ControllerRevision that it was started with; "" if it was adopted."""
    name = vmi.raw_status.get("virtualMachineRevisionName")
    return name if isinstance(name, str) else ""


def digest(manifest: Manifest) -> str:
    """Of what a ControllerRevision keeps: equal for equal specs."""
    return sha256(msgspec.json.encode(manifest["data"]["spec"], order="deterministic")).hexdigest()


def revision(vm: VirtualMachine, name: str, kept: Mapping[Role, str] | None = None) -> Manifest:
    """The ControllerRevision `name`. It keeps the whole spec of the VirtualMachine. `kept`: those of its instance type
    and its preference."""
    spec = msgspec.json.decode(vm.raw_spec)
    for role, chosen in (kept or {}).items():
        spec[role.value] = {**spec[role.value], "revisionName": chosen}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name,
            "namespace": vm.metadata.namespace,
            "ownerReferences": [owner_reference(vm)],
        },
        "revision": vm.metadata.generation,
        "data": {"spec": spec},
    }


def created(manifest: Manifest) -> VirtualMachineInstance:
    """The VirtualMachineInstance right after its creation, as admission stores it, for the parts of a VirtualMachine's
    status that rest on it."""
    status = {"conditions": msgspec.to_builtins([NOT_RUNNING_YET])}
    return VirtualMachineInstance(msgspec.convert(manifest["metadata"], ObjectMeta)).with_status(status)


def instance(
    vm: VirtualMachine,
    template: Mapping[str, Any],
    *,
    revision: str,
    paused: bool,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """The VirtualMachineInstance of the template, with more annotations. `revision`: the ControllerRevision that keeps
    what it is started with. `paused`: its guest does not run before a user unpauses it."""
    of_template = template.get("metadata") or {}
    metadata: Manifest = {key: dict(of_template[key]) for key in _COPIED if isinstance(of_template.get(key), dict)}
    own = {labels.VM_GENERATION: str(vm.metadata.generation)}
    metadata["annotations"] = {**metadata.get("annotations", {}), **(annotations or {}), **own}
    metadata |= {
        "name": vm.metadata.name,
        "namespace": vm.metadata.namespace,
        "ownerReferences": [owner_reference(vm)],
        "finalizers": [labels.VM_FINALIZER],
    }
    body: Manifest = dict(template["spec"])
    domain = {**(body.get("domain") or {})}
    firmware = {**(domain.get("firmware") or {})}
    firmware["uuid"] = firmware.get("uuid") or str(uuid5(_FIRMWARE, vm.metadata.name))
    body["domain"] = {**domain, "firmware": firmware}
    if paused:
        body["startStrategy"] = "Paused"
    return {
        "apiVersion": API_VERSION,
        "kind": "VirtualMachineInstance",
        "metadata": metadata,
        "spec": body,
        "status": {"virtualMachineRevisionName": revision},
    }


def owner_reference(vm: VirtualMachine) -> Manifest:
    """Makes the VirtualMachine the controller of an object."""
    return controller_reference(vm.reference)
