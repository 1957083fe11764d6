"""Every supported field of a template: a change is admitted, and the fields that it changes are named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw
from virt_controller.vm.restart_required import changes_of
from virt_core.objects.kubevirt import Configuration
from virt_core.objects.meta import ObjectMeta
from virt_core.testing.patches import merge_patch
from virt_core.vm.admission import admit
from virt_core.vmi.instance import VirtualMachineInstance
from virt_operator.packaging.supported import supported_paths

from tests.samples.template_changes import CHANGES, Change, fields

BOOT = {"container": {"image": "registry.test/kernel:1", "kernelPath": "/boot/vmlinuz", "initrdPath": "/boot/initrd"}}
SPEC: dict[str, Any] = {
    "architecture": "amd64",
    "domain": {
        "devices": {
            "disks": [{"name": "data", "disk": {"bus": "virtio"}}],
            "interfaces": [{"name": "default", "masquerade": {}}],
        },
        "memory": {"guest": "128Mi"},
        "firmware": {"kernelBoot": BOOT},
    },
    "networks": [{"name": "default", "pod": {}}],
    "volumes": [{"name": "data", "emptyDisk": {"capacity": "1Mi"}}],
}


def vm(spec: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "g"}, "spec": {"runStrategy": "Always", "template": {"spec": spec}}}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.field)
def test_a_changed_field_is_admitted_and_named(change: Change) -> None:
    after = merge_patch(SPEC, change.patch)
    assert admit(vm(after), vm(SPEC), Configuration(), is_own_account=False) == ()
    instance = VirtualMachineInstance(ObjectMeta("g"), Raw(json.dumps(SPEC).encode()))
    found = changes_of({"spec": SPEC}, {"spec": after}, instance)
    assert any(change.field == path or change.field.startswith(f"{path}.") for path in found.fields)
    assert not found.metadata


def test_every_supported_field_is_changed_by_one() -> None:
    assert {change.field for change in CHANGES} == fields(supported_paths())


def test_all_that_can_be_applied_together_is_admitted() -> None:
    after = SPEC
    for change in CHANGES:
        if change.applied:
            after = merge_patch(after, change.patch)
    assert admit(vm(after), vm(SPEC), Configuration(), is_own_account=False) == ()
