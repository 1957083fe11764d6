"""Which VirtualMachineInstances and which changes of them are admitted."""

from __future__ import annotations

from typing import Any

import pytest
from virt_core.objects.kubevirt import Configuration
from virt_core.testing.patches import merge_patch
from virt_core.vmi.admission import RESERVED_LABELS, admit_create, admit_update
from virt_core.vmi.defaults import defaulted

NONE = Configuration()
VMI: dict[str, Any] = {
    "metadata": {"name": "g", "labels": {"app": "web"}},
    "spec": {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}},
}


def changed(change: dict[str, Any], of: dict[str, Any] = VMI) -> dict[str, Any]:
    result: dict[str, Any] = merge_patch(of, change)
    return result


def texts(refusals: tuple[object, ...]) -> list[str]:
    return [str(refusal) for refusal in refusals]


def test_a_minimal_object_is_admitted() -> None:
    assert admit_create(VMI, NONE) == ()


def test_every_problem_of_a_new_object_is_reported() -> None:
    devices = {"gpus": [{"name": "g"}], "disks": [{"name": "d", "changedBlockTracking": True, "cache": 7}]}
    body = changed({"metadata": {"labels": {"kubevirt.io/nodeName": "n"}}, "spec": {"domain": {"devices": devices}}})
    assert texts(admit_create(body, NONE)) == [
        "metadata.labels.kubevirt.io/nodeName: is reserved: only KubeVirt itself sets, changes or removes it",
        "spec.domain.devices.gpus: is not supported by this release, remove it",
        "spec.domain.devices.disks[0].changedBlockTracking: is not supported by this release, remove it",
        "spec.domain.devices.disks[0].cache: 7 is not allowed, use a string",
        "spec.domain.devices.disks[0].name: 'd' is not allowed, use the name of a volume: there is none",
    ]
    values = changed({"spec": {"hostname": "A", "architecture": "s390x"}})
    assert [refusal.field for refusal in admit_create(values, NONE)] == ["spec.architecture", "spec.hostname"]


@pytest.mark.parametrize("label", sorted(RESERVED_LABELS))
def test_reserved_labels_are_set_changed_and_removed_by_the_suite_alone(label: str) -> None:
    labelled = changed({"metadata": {"labels": {label: "x"}}})
    other = changed({"metadata": {"labels": {label: "y"}}})
    assert texts(admit_create(labelled, NONE)) and not admit_create(labelled, NONE, is_own_account=True)
    for old, new in ((VMI, labelled), (labelled, other), (labelled, VMI)):
        (refusal,) = admit_update(old, new, NONE, is_own_account=False)
        assert refusal.field == f"metadata.labels.{label}"
        assert admit_update(old, new, NONE, is_own_account=True) == ()


def test_the_spec_cannot_be_changed_and_the_paths_are_named() -> None:
    new = changed({"spec": {"domain": {"cpu": {"cores": 2}}, "hostname": "web"}})
    assert texts(admit_update(VMI, new, NONE, is_own_account=False)) == [
        "spec.domain.cpu.cores: cannot be changed, create a new VirtualMachineInstance",
        "spec.hostname: cannot be changed, create a new VirtualMachineInstance",
    ]


def test_a_manifest_applied_again_without_the_stored_defaults_passes() -> None:
    stored = defaulted(VMI, NONE)
    assert admit_update(stored, VMI, NONE, is_own_account=False) == ()
    assert admit_update(VMI, stored, NONE, is_own_account=False) == ()


def test_labels_and_finalizers_of_an_object_that_the_webhook_never_saw_can_be_changed() -> None:
    bad = changed({"spec": {"utilityVolumes": []}, "metadata": {"finalizers": ["f"]}})
    for change in ({"metadata": {"labels": {"more": "x"}}}, {"metadata": {"finalizers": []}}):
        assert admit_update(bad, changed(change, bad), NONE, is_own_account=False) == ()


def test_the_status_is_written_by_the_suite_alone() -> None:
    new = changed({"status": {"phase": "Succeeded"}})
    assert texts(admit_update(VMI, new, NONE, is_own_account=False)) == [
        "status: is written by KubeVirt itself, leave it as it is"
    ]
    assert admit_update(VMI, new, NONE, is_own_account=True) == ()
    assert admit_update(new, new, NONE, is_own_account=False) == ()
    assert admit_update(VMI, {**VMI, "status": {}}, NONE, is_own_account=False) == ()


@pytest.mark.parametrize("junk", [None, 7, "x", [], {}, {"domain": []}, {"domain": {"devices": {"disks": {}}}}])
def test_junk_is_refused_and_does_no_harm(junk: Any) -> None:
    assert admit_create({"metadata": {"labels": []}, "spec": junk}, NONE)
    assert admit_create({"spec": junk}, NONE)
    assert admit_update(VMI, {**VMI, "spec": junk}, NONE, is_own_account=False)


def test_an_object_nested_without_end_is_refused() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    (refusal,) = admit_create(changed({"spec": {"affinity": {}}}) | {"spec": {"domain": deep}}, NONE)[:1]
    assert refusal.field.startswith("spec")


@pytest.mark.parametrize(
    "change",
    [
        {"nodeSelector": {"a": "b"}},
        {"affinity": {"nodeAffinity": {}}},
        {"tolerations": [{"operator": "Exists"}]},
        {"terminationGracePeriodSeconds": 0},
    ],
)
def test_the_suite_changes_placement_and_grace_period_of_a_running_guest_and_nobody_else_does(change: Any) -> None:
    new = changed({"spec": change})
    assert admit_update(VMI, new, NONE, is_own_account=True) == ()
    assert admit_update(new, VMI, NONE, is_own_account=True) == ()
    assert admit_update(VMI, new, NONE, is_own_account=False)


@pytest.mark.parametrize("change", [{"domain": {"memory": {"guest": "1Gi"}}}, {"hostname": "web"}, {"volumes": []}])
def test_the_suite_changes_nothing_else_of_the_spec(change: dict[str, Any]) -> None:
    (refusal,) = admit_update(VMI, changed({"spec": change}), NONE, is_own_account=True)
    assert refusal.field == f"spec.{next(iter(change))}"
    assert "affinity, nodeSelector, terminationGracePeriodSeconds, tolerations" in refusal.message
    assert admit_update(VMI, {"metadata": {}}, NONE, is_own_account=True)
