"""Outdated launchers are replaced as the strategy says, never beyond its limits, and who stays says why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from virt_controller.workload_update.actions import CreateMigration, DeleteMigration, Evict, PatchVmi
from virt_controller.workload_update.observe import Observed, Strategy, Workload
from virt_controller.workload_update.plan import count, plan
from virt_controller.workload_update.window import is_open
from virt_core.migration.migration import VirtualMachineInstanceMigration
from virt_core.testing.patches import json_patch
from virt_core.vmi.instance import VirtualMachineInstance

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
BOTH = Strategy(("LiveMigrate", "Evict"))
OPT_OUT, WINDOW = "kubevirt.io/workload-update", "kubevirt.io/workload-update-window"
BLOCKED = "WorkloadUpdateBlocked"


def body(name: str, migratable: str = "True", strategy: str = "", **annotations: str) -> dict[str, Any]:
    condition = {"type": "LiveMigratable", "status": migratable, "reason": "R", "message": "M"}
    status: dict[str, Any] = {"phase": "Running", "nodeName": "node1", "conditions": [condition]}
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "annotations": annotations}
    return {"metadata": metadata, "spec": {"evictionStrategy": strategy}, "status": status}


def workload(stored: dict[str, Any], *migrations: VirtualMachineInstanceMigration, image: str = "old") -> Workload:
    vmi = msgspec.json.decode(msgspec.json.encode(stored), type=VirtualMachineInstance)
    return Workload(vmi, image, f"pod-{vmi.metadata.name}", "new", migrations)


def failed(name: str, ago: timedelta, phase: str = "Failed") -> VirtualMachineInstanceMigration:
    moment = (NOW - ago).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = {
        "metadata": {
            "name": name,
            "uid": name,
            "creationTimestamp": moment,
            "annotations": {"kubevirt.io/workloadUpdateMigration": ""},
        },
        "status": {"phase": phase, "migrationState": {"failureReason": "no room"}},
    }
    return msgspec.json.decode(msgspec.json.encode(found), type=VirtualMachineInstanceMigration)


def observed(*workloads: Workload, **more: Any) -> Observed:
    base = Observed(BOTH, True, workloads, 0, 5, timedelta(hours=1), NOW)
    return replace(base, **more)


def moved(seen: Observed) -> list[str]:
    return [action.vmi.metadata.name for action in plan(seen) if isinstance(action, CreateMigration)]


def withdrawn(seen: Observed) -> list[str]:
    return [action.name for action in plan(seen) if isinstance(action, DeleteMigration)]


def evicted(seen: Observed) -> list[str]:
    return [action.pod for action in plan(seen) if isinstance(action, Evict)]


def reported(seen: Observed, stored: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The label of outdated launchers, and the condition; None, {}: there is none."""
    (operations,) = [action.operations for action in plan(seen) if isinstance(action, PatchVmi)] or [()]
    base = {**stored, "metadata": {**stored["metadata"], "resourceVersion": ""}}
    after = json_patch(base, list(operations))
    conditions = {condition["type"]: condition for condition in after["status"]["conditions"]}
    return after["metadata"].get("labels", {}).get("kubevirt.io/outdatedLauncherImage"), conditions.get(BLOCKED, {})


def test_an_outdated_launcher_is_replaced_by_a_migration() -> None:
    stored = body("a")
    seen = observed(workload(stored), workload(body("b"), image="new"), workload(body("c"), image=""))
    (create, _, _) = plan(seen)
    assert isinstance(create, CreateMigration)
    meta = create.manifest["metadata"]
    assert meta["name"].startswith("kubevirt-workload-update-") and meta["namespace"] == "ns"
    assert meta["annotations"] == {"kubevirt.io/workloadUpdateMigration": ""}
    assert create.manifest["spec"] == {"vmiName": "a", "priority": "system-critical"}
    assert reported(seen, stored) == ("", {}) and count(seen) == 1


@pytest.mark.parametrize(
    ("methods", "migratable", "moves", "leaves"),
    [
        (("LiveMigrate", "Evict"), "True", ["a"], []),
        (("LiveMigrate", "Evict"), "False", [], ["pod-a"]),
        (("Evict",), "True", [], ["pod-a"]),
        (("LiveMigrate",), "True", ["a"], []),
        (("LiveMigrate",), "False", [], []),
        ((), "True", [], []),
    ],
)
def test_the_methods_decide_how(methods: Any, migratable: str, *, moves: list[str], leaves: list[str]) -> None:
    seen = observed(workload(body("a", migratable)), strategy=Strategy(methods))
    assert (moved(seen), evicted(seen)) == (moves, leaves)


def test_a_guest_is_not_evicted_before_it_is_known_whether_it_can_be_migrated() -> None:
    """Its handler has not been there since an update from a release without migrations."""
    stored = body("a")
    stored["status"]["conditions"] = []
    for methods, leaves in ((("LiveMigrate", "Evict"), []), (("LiveMigrate",), []), (("Evict",), ["pod-a"])):
        seen = observed(workload(stored), strategy=Strategy(methods))
        assert (moved(seen), evicted(seen)) == ([], leaves)
    assert reported(observed(workload(stored)), stored)[1]["reason"] == "NotYetKnown"


def test_nothing_is_replaced_while_the_suite_is_being_changed() -> None:
    stored = body("a")
    seen = observed(workload(stored), workload(body("b", "False")), settled=False)
    assert moved(seen) == [] and evicted(seen) == [] and count(seen) == 2
    assert reported(replace(seen, workloads=seen.workloads[:1]), stored) == ("", {})


@pytest.mark.parametrize(
    ("status", "metadata"),
    [
        ({"phase": "Succeeded"}, {}),
        ({"phase": "Scheduled"}, {}),
        ({"evacuationNodeName": "node1"}, {}),
        ({"migrationState": {"migrationUid": "m"}}, {}),
        ({}, {"deletionTimestamp": "2026-01-31T12:00:00Z"}),
    ],
)
def test_a_guest_that_ends_or_moves_anyway_is_left_alone(status: Any, metadata: Any) -> None:
    stored = body("a")
    stored["status"] |= status
    stored["metadata"] |= metadata
    seen = observed(workload(stored))
    assert moved(seen) == [] and evicted(seen) == []
    assert moved(observed(workload(body("a"), failed("m", timedelta(days=1), "Pending")))) == []


@pytest.mark.parametrize("phase", ["", "Pending", "Scheduling", "Running", "Succeeded", "Failed"])
def test_a_migration_to_the_launcher_that_the_guest_has_again_is_withdrawn(phase: str) -> None:
    """The suite was rolled back meanwhile."""
    requested = failed("m", timedelta(minutes=1), phase)
    wanted = ["m"] if phase not in ("Succeeded", "Failed") else []
    assert withdrawn(observed(workload(body("a"), requested, image="new"))) == wanted
    assert withdrawn(observed(workload(body("a"), requested, image="old"))) == []
    assert withdrawn(observed(workload(body("a"), requested, image=""))) == []
    assert withdrawn(observed(workload(body("a"), requested, image="new"), settled=False)) == []


@pytest.mark.parametrize("end", [{"completed": True}, {"targetNodeDomainReadyTimestamp": "2026-01-31T12:00:00Z"}])
def test_a_migration_whose_guest_has_arrived_is_not_withdrawn(end: dict[str, Any]) -> None:
    stored = body("a")
    stored["status"]["migrationState"] = {"migrationUid": "m", **end}
    running = failed("m", timedelta(minutes=1), "Running")
    assert withdrawn(observed(workload(stored, running, image="new"))) == []
    stored["status"]["migrationState"]["migrationUid"] = "earlier"
    assert withdrawn(observed(workload(stored, running, image="new"))) == ["m"]


def test_what_others_request_and_what_is_deleted_already_is_not_withdrawn() -> None:
    running = failed("m", timedelta(minutes=1), "Running")
    by_user = msgspec.structs.replace(running.metadata, annotations={})
    gone = msgspec.structs.replace(running.metadata, deletion_timestamp="2026-01-31T12:00:00Z")
    for metadata in (by_user, gone):
        other = msgspec.structs.replace(running, metadata=metadata)
        assert withdrawn(observed(workload(body("a"), other, image="new"))) == []


def test_no_more_move_than_may_run_and_those_that_failed_come_last() -> None:
    troubled = workload(body("a"), failed("m", timedelta(days=1)))
    many = (troubled, *(workload(body(name)) for name in "bcdefg"))
    assert moved(observed(*many, running_migrations=2)) == ["b", "c", "d"]
    assert moved(observed(*many, parallel_migrations=7))[-1] == "a"
    assert moved(observed(*many, running_migrations=9)) == []


def test_evictions_come_in_batches() -> None:
    many = tuple(workload(body(name, "False")) for name in "abcd")
    strategy = Strategy(("Evict",), 2, timedelta(minutes=5))
    assert evicted(observed(*many, strategy=strategy)) == ["pod-a", "pod-b"]
    assert evicted(observed(*many, strategy=strategy, since_batch=timedelta(minutes=4))) == []
    assert evicted(observed(*many, strategy=replace(strategy, batch_size=0))) == []


@pytest.mark.parametrize(
    ("stored", "methods", "reason"),
    [
        (body("a", "False"), ("LiveMigrate",), "NotLiveMigratable"),
        (body("a", "False", "LiveMigrate"), ("LiveMigrate", "Evict"), "EvictionForbidden"),
        (body("a", **{OPT_OUT: "Never"}), ("LiveMigrate",), "OptedOut"),
        (body("a", **{OPT_OUT: "Sometimes"}), ("LiveMigrate",), "InvalidAnnotation"),
        (body("a", **{WINDOW: "22:00-04:00"}), ("LiveMigrate",), "OutsideWindow"),
        (body("a", **{WINDOW: "at night"}), ("LiveMigrate",), "InvalidAnnotation"),
    ],
)
def test_who_stays_says_why_in_one_condition(stored: Any, methods: Any, reason: str) -> None:
    seen = observed(workload(stored), strategy=Strategy(methods))
    assert moved(seen) == [] and evicted(seen) == []
    label, condition = reported(seen, stored)
    assert (label, condition["status"], condition["reason"]) == ("", "True", reason) and condition["message"]
    stored["metadata"]["labels"] = {"kubevirt.io/outdatedLauncherImage": ""}
    stored["status"]["conditions"].append(condition)
    assert not [action for action in plan(observed(workload(stored), strategy=seen.strategy)) if hasattr(action, "vmi")]
    assert reported(observed(workload(stored, image="new"), strategy=seen.strategy), stored) == (None, {})


def test_a_guest_in_its_window_is_moved() -> None:
    assert moved(observed(workload(body("a", **{WINDOW: "11:00-13:00"})))) == ["a"]


def test_what_failed_is_tried_again_after_a_growing_time() -> None:
    def due(*minutes: float) -> bool:
        return moved(observed(workload(body("a"), *(failed(f"m{m}", timedelta(minutes=m)) for m in minutes)))) == ["a"]

    assert due(1) and not due(0.5)
    assert due(6, 3) and not due(6, 2)
    assert due(720, 361) and not due(720, 355)
    assert due(-60 * 24), "the clock of the leader that wrote it was wrong"
    stored = body("a")
    _, condition = reported(observed(workload(stored, failed("m", timedelta(seconds=30)))), stored)
    assert condition["reason"] == "MigrationFailed" and condition["message"].endswith("no room")
    passed = [failed("m1", timedelta(minutes=9)), failed("m2", timedelta(minutes=5), "Succeeded")]
    assert moved(observed(workload(body("a"), *passed))) == ["a"]


@pytest.mark.parametrize(
    ("window", "hour", "inside"),
    [
        ("22:00-04:00", 23, True),
        ("22:00-04:00", 3, True),
        ("22:00-04:00", 4, False),
        ("09:00-17:00", 9, True),
        ("09:00-17:00", 17, False),
        ("00:00-00:00", 5, True),
    ],
)
def test_a_window_may_contain_midnight(window: str, hour: int, *, inside: bool) -> None:
    assert is_open(window, NOW.replace(hour=hour)) is inside
