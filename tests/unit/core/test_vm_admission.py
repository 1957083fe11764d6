"""Which VirtualMachines are stored, and with what."""

from __future__ import annotations

import copy
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from virt_core.conventions.labels import VM_FINALIZER
from virt_core.objects.kubevirt import Configuration
from virt_core.vm.admission import admit
from virt_core.vm.defaults import create_patch, update_patch

CONFIGURATION = Configuration()
SPEC: dict[str, Any] = {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}}


def vm(**spec: Any) -> dict[str, Any]:
    """A VirtualMachine that is admitted, with other fields of its spec."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": copy.deepcopy(SPEC)}
    return {"metadata": {"name": "web"}, "spec": {"runStrategy": "Always", "template": template, **spec}}


def refused(body: dict[str, Any], old: dict[str, Any] | None = None, *, own: bool = False) -> dict[str, str]:
    """The refusals by field."""
    return {each.field: each.message for each in admit(body, old, CONFIGURATION, is_own_account=own)}


def patched(body: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """`body` after operations that add or replace."""
    after = copy.deepcopy(body)
    for operation in operations:
        *parents, last = operation["path"].lstrip("/").split("/")
        target = after
        for key in parents:
            target = target[key]
        target[last] = operation["value"]
    return after


@pytest.mark.parametrize(
    ("metadata", "field", "words"),
    [
        ({"labels": {"logVerbosity": "loud"}}, "labels.logVerbosity", "0 to"),
        ({"labels": {"a b": "x"}}, "labels", "'a b' is not allowed, use a qualified name"),
        ({"labels": {"a": "x" * 64}}, "labels.a", "63 characters"),
        ({"labels": {"a": 1}}, "labels.a", "1 is not allowed, use a label's value"),
        ({"labels": ["a"]}, "labels", "use names with strings"),
        ({"annotations": {"a": True}}, "annotations.a", "use a string"),
        ({"annotations": {"a": "x" * (256 << 10)}}, "annotations", "are too many"),
        (
            {"annotations": {"kubevirt.io/libvirt-log-filters": "1"}},
            "annotations.kubevirt.io/libvirt-log-filters",
            "log",
        ),
    ],
)
def test_metadata_that_its_guest_could_not_have_is_refused_by_name(
    metadata: dict[str, Any], field: str, words: str
) -> None:
    body = vm(template={"metadata": metadata, "spec": SPEC})
    assert words in refused(body)[f"spec.template.metadata.{field}"]


def test_an_ordinary_virtual_machine_is_admitted() -> None:
    assert refused(vm()) == {}
    assert refused(vm(runStrategy=None, running=True)) == {}


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        ({"runStrategy": "Sometimes"}, "spec.runStrategy", "'Sometimes' is not allowed, use Always or RerunOnFailure"),
        ({"runStrategy": None}, "spec.runStrategy", "is missing, use Always"),
        ({"running": True}, "spec.running", "excludes spec.runStrategy: remove spec.running"),
        ({"template": None}, "spec.template", "is missing"),
        ({"dataVolumeTemplates": [{"metadata": {"name": "x"}}]}, "spec.dataVolumeTemplates", "PersistentVolumeClaim"),
        ({"instancetype": {}}, "spec.instancetype", "neither name"),
        ({"preference": {"name": "fedora", "kind": "Pod"}}, "spec.preference.kind", "VirtualMachinePreference"),
        ({"preference": {"name": "fedora", "colour": 1}}, "spec.preference.colour", "is not supported"),
        ({"updateVolumesStrategy": "Migration"}, "spec.updateVolumesStrategy", "remove it"),
        ({"whatever": 1}, "spec.whatever", "is not supported"),
    ],
)
def test_what_is_refused_is_named_with_what_to_use(spec: dict[str, Any], field: str, words: str) -> None:
    assert words in refused(vm(**spec))[field]


def test_the_template_is_held_to_the_rules_of_an_instance_and_named_from_the_top() -> None:
    body = vm()
    body["spec"]["template"]["spec"]["domain"]["cpu"] = {"cores": -1}
    body["spec"]["template"]["spec"]["domain"]["devices"]["gpus"] = []
    body["spec"]["template"]["metadata"]["labels"] = {"kubevirt.io/nodeName": "node1"}
    body["spec"]["template"]["metadata"]["annotations"] = {"hooks.kubevirt.io/hookSidecars": "[]"}
    assert set(refused(body)) == {
        "spec.template.spec.domain.cpu.cores",
        "spec.template.spec.domain.devices.gpus",
        "spec.template.metadata.labels.kubevirt.io/nodeName",
        "spec.template.metadata.annotations.hooks.kubevirt.io/hookSidecars",
    }
    assert "spec.template.metadata.labels.kubevirt.io/nodeName" not in refused(body, own=True)


def test_a_virtual_machine_without_memory_is_refused_before_it_is_started() -> None:
    body = vm()
    del body["spec"]["template"]["spec"]["domain"]["memory"]
    assert "spec.template.spec.domain.memory.guest" in refused(body)


def test_a_deletion_or_an_unchanged_spec_is_admitted_whatever_the_spec_holds() -> None:
    bad = vm(runStrategy="Sometimes")
    deleting = {**bad, "metadata": {"name": "web", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert refused(deleting, bad) == {}
    labelled = {**bad, "metadata": {"name": "web", "labels": {"a": "b"}}}
    assert refused(labelled, bad) == {}


def test_a_new_virtual_machine_gets_its_identity_and_finalizer_and_no_other_defaults() -> None:
    body, numbers = vm(), count(1)
    stored = patched(body, create_patch(body, CONFIGURATION, lambda: str(UUID(int=next(numbers)))))
    assert stored["metadata"]["finalizers"] == [VM_FINALIZER]
    spec = stored["spec"]["template"]["spec"]
    assert spec["domain"] == {
        **SPEC["domain"],
        "firmware": {"uuid": str(UUID(int=1)), "serial": str(UUID(int=2))},
        "machine": {"type": "q35"},
    }
    assert set(spec) == {"domain", "architecture"}
    assert refused(stored) == {}
    assert create_patch(stored, CONFIGURATION, lambda: "other") == []


def test_a_manifest_that_is_put_again_keeps_the_identity() -> None:
    body = vm()
    stored = patched(body, create_patch(body, CONFIGURATION, lambda: "uuid"))
    again = patched(body, update_patch(stored, body))
    assert again["spec"] == stored["spec"]
    chosen = vm()
    chosen["spec"]["template"]["spec"]["domain"]["firmware"] = {"uuid": "mine"}
    assert patched(chosen, update_patch(stored, chosen))["spec"]["template"]["spec"]["domain"]["firmware"] == {
        "uuid": "mine",
        "serial": "uuid",
    }


@pytest.mark.parametrize("template", [None, [], "x", {"spec": []}, {"spec": {"domain": "x"}}, {"spec": {"domain": 1}}])
def test_what_is_no_template_is_left_for_the_rules(template: Any) -> None:
    body = vm(template=template)
    create_patch(body, CONFIGURATION, lambda: "uuid")
    assert update_patch(vm(), body) is not None
    assert refused(body)


def test_a_virtual_machine_whose_template_is_no_longer_admitted_can_be_halted() -> None:
    old = vm(dataVolumeTemplates=[{"metadata": {"name": "disk"}}])
    old["spec"]["template"]["spec"]["domain"]["cpu"] = {"cores": -1}
    assert refused(old)
    new = copy.deepcopy(old)
    new["spec"]["runStrategy"] = "Halted"
    assert refused(new, old) == {}
    new["spec"]["runStrategy"] = "Sometimes"
    assert list(refused(new, old)) == ["spec.runStrategy"]
    new["spec"]["template"]["spec"]["domain"]["cpu"] = {"cores": -2}
    assert len(refused(new, old)) == 3
