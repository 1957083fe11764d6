"""What a VirtualMachineInstanceMigration and a MigrationPolicy are refused for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from virt_core.migration.admission import (
    create_patch,
    policy_refusals,
    spec_refusals,
    state_refusal,
    update_refusals,
)
from virt_core.testing.patches import json_patch
from virt_core.vmi.instance import VirtualMachineInstance

LABEL, FINALIZER = "kubevirt.io/vmi-name", "kubevirt.io/migrationJobFinalize"
LONG = "a-name-of-a-virtual-machine-that-is-much-longer-than-sixty-three-letters"


def migration(spec: Any = None, metadata: Any = None, phase: str = "") -> dict[str, Any]:
    meta = {"namespace": "ns", "uid": "u1", **(metadata or {})}
    return {"metadata": meta, "spec": {"vmiName": "web"} if spec is None else spec, "status": {"phase": phase}}


def vmi(phase: str = "Running", *conditions: dict[str, str]) -> VirtualMachineInstance:
    body = {"metadata": {"name": "web"}, "status": {"phase": phase, "conditions": conditions}}
    return msgspec.json.decode(msgspec.json.encode(body), type=VirtualMachineInstance)


@pytest.mark.parametrize("metadata", [{}, {"labels": {"mine": "x"}, "finalizers": ["mine/too"]}])
def test_a_new_migration_gets_label_and_finalizer_besides_its_own(metadata: Any) -> None:
    new = migration(metadata=metadata)
    stored = json_patch(new, create_patch(new))["metadata"]
    assert stored["labels"] == {**metadata.get("labels", {}), LABEL: "web"}
    assert stored["finalizers"] == [*metadata.get("finalizers", []), FINALIZER]
    assert not [entry for entry in create_patch({"metadata": stored, "spec": {}}) if "finalizers" in entry["path"]]


def test_the_label_of_a_long_name_is_shortened_as_in_other_labels() -> None:
    new = migration({"vmiName": LONG})
    value = json_patch(new, create_patch(new))["metadata"]["labels"][LABEL]
    assert len(value) == 63 and value.startswith(LONG[:54])
    assert spec_refusals(new, by_controller=False) == ()


@pytest.mark.parametrize("odd", [{}, {"metadata": None, "spec": []}, {"metadata": {"labels": 5, "finalizers": 5}}])
def test_an_odd_object_is_left_for_validation(odd: Any) -> None:
    assert [entry["path"] for entry in create_patch(odd)] == ["/metadata/finalizers"]


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"vmiName": "web", "addedNodeSelector": {"zone": "a"}}, []),
        ({"vmiName": "web", "priority": None, "sendTo": None}, []),
        ({}, ["spec.vmiName"]),
        ({"vmiName": ""}, ["spec.vmiName"]),
        ({"vmiName": "../web"}, ["spec.vmiName"]),
        ({"vmiName": 5}, ["spec.vmiName"]),
        ({"vmiName": "web", "priority": "system-critical"}, ["spec.priority"]),
        ({"vmiName": "web", "sendTo": {"migrationID": "m", "connectURL": "u"}}, ["spec.sendTo"]),
        ({"vmiName": "web", "receive": {"migrationID": "m"}}, ["spec.receive"]),
        ({"vmiName": "web", "target": "node2"}, ["spec.target"]),
        ({"vmiName": "web", "addedNodeSelector": {"a b": "c"}}, ["spec.addedNodeSelector"]),
        ({"vmiName": "web", "addedNodeSelector": {"a": "b c"}}, ["spec.addedNodeSelector.a"]),
        ("web", ["spec.vmiName"]),
    ],
)
def test_wrong_fields_are_refused_by_name(spec: Any, fields: list[str]) -> None:
    assert [refusal.field for refusal in spec_refusals(migration(spec), by_controller=False)] == fields


def test_only_the_controller_sets_a_priority_and_only_a_known_one() -> None:
    critical = migration({"vmiName": "web", "priority": "system-critical"})
    assert spec_refusals(critical, by_controller=True) == ()
    (refusal,) = spec_refusals(critical, by_controller=False)
    assert "only virt-controller is allowed to set priority field" in str(refusal)
    (refusal,) = spec_refusals(migration({"vmiName": "web", "priority": "urgent"}), by_controller=True)
    assert "'urgent' is not allowed, use system-critical" in str(refusal)


@pytest.mark.parametrize(
    ("instance", "others", "refusal"),
    [
        (vmi(), [], ""),
        (vmi("Scheduling"), [], ""),
        (None, [], 'the VMI "ns/web" does not exist'),
        (vmi("Succeeded"), [], "Cannot migrate VMI in finalized state."),
        (
            vmi("Running", {"type": "LiveMigratable", "status": "False", "reason": "R", "message": "M"}),
            [],
            "Cannot migrate VMI, Reason: R, Message: M",
        ),
        (vmi("Running", {"type": "LiveMigratable", "status": "True"}), [migration(phase="Succeeded")], ""),
        (vmi(), [migration({"vmiName": "another"})], ""),
        (vmi(), [migration(phase="Failed"), migration()], "in-flight"),
        (vmi(), [migration(phase="OfAnotherRelease")], "in-flight"),
    ],
)
def test_the_state_of_the_guest_decides_whether_it_can_migrate(instance: Any, others: Any, refusal: str) -> None:
    if refusal == "in-flight":
        refusal = (
            "in-flight migration detected. Active migration job (u1) is currently already in progress for VMI web."
        )
    assert state_refusal(migration(), instance, others) == refusal


@pytest.mark.parametrize(
    ("spec", "labels", "phase", "message"),
    [
        ({"vmiName": "web"}, {LABEL: "web", "mine": "x"}, "", ""),
        ({"vmiName": "web", "priority": None}, {LABEL: "web"}, "", ""),
        ({"vmiName": "db"}, {LABEL: "web"}, "", "update of Migration object's spec is restricted"),
        ({"vmiName": "web"}, {}, "", "selector label can't be removed from an in-flight migration"),
        ({"vmiName": "web"}, {LABEL: "db"}, "Running", "selector label can't be modified on an in-flight migration"),
        ({"vmiName": "web"}, {}, "Failed", ""),
    ],
)
def test_spec_and_label_stay_as_they_are(spec: Any, labels: Any, phase: str, message: str) -> None:
    found = update_refusals(migration(metadata={"labels": {LABEL: "web"}}), migration(spec, {"labels": labels}, phase))
    assert [refusal.message for refusal in found] == ([message] if message else [])


SELECTORS = {"virtualMachineInstanceSelector": {"app": "web"}, "namespaceSelector": {"zone": "a"}}


@pytest.mark.parametrize(
    ("spec", "refused"),
    [
        ({"selectors": SELECTORS, "allowPostCopy": True, "bandwidthPerMigration": "64Mi"}, ""),
        ({"completionTimeoutPerGiB": 0, "bandwidthPerMigration": 0, "allowAutoConverge": None}, ""),
        ({"completionTimeoutPerGiB": -1}, "spec.completionTimeoutPerGiB: -1 is negative, allowed are seconds from 0"),
        ({"bandwidthPerMigration": "-1Mi"}, "spec.bandwidthPerMigration: -1Mi is negative"),
        ({"bandwidthPerMigration": "fast"}, "spec.bandwidthPerMigration: 'fast' is not a quantity"),
        ({"selectors": {"namespaceSelector": {"a": "b c"}}}, "spec.selectors.namespaceSelector.a: 'b c'"),
        ({"parallelMigrationsPerCluster": 5}, "spec.parallelMigrationsPerCluster: is not supported"),
        ({"selectors": {"podSelector": {}}}, "spec.selectors.podSelector: is not supported"),
    ],
)
def test_a_policy_is_refused_by_field(spec: Any, refused: str) -> None:
    found = [str(refusal) for refusal in policy_refusals({"metadata": {}, "spec": spec})]
    assert len(found) == bool(refused) and all(text.startswith(refused) for text in found)
