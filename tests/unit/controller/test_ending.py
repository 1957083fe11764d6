"""Ends of a VirtualMachineInstance that the controller reports, and which pods belong to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from virt_controller.actions import RecordEvent
from virt_controller.node.health import Trouble
from virt_controller.pod.observed import LauncherPod, PodSpec
from virt_controller.pod.template import pod_name
from virt_controller.vmi.actions import Action, CreatePod, DeletePod, GonePod, PatchVmi
from virt_core.conventions.labels import VM_FINALIZER, VMI_FINALIZER
from virt_core.vmi.instance import VirtualMachineInstance

from tests.unit.controller.planning import (
    EMULATION,
    NOW,
    PLANNER,
    SPEC,
    apply,
    at_node1,
    observed,
    plan,
    pod,
    scheduled,
    vmi,
)

DELETED: dict[str, Any] = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["other", VMI_FINALIZER]}
GONE = GonePod((pod_name(vmi()),), frozenset({"pod-uid"}))


def planned(subject: VirtualMachineInstance, *pods: LauncherPod, **more: Any) -> tuple[Action, ...]:
    return PLANNER.plan(replace(observed(subject, pods, EMULATION, NOW), **more))


def ended(message: str = "", exit_code: int = 0, **meta: Any) -> LauncherPod:
    state = {"terminated": {"exitCode": exit_code, "message": message}}
    phase = "Failed" if exit_code else "Succeeded"
    return pod("node1", {"phase": phase, "containerStatuses": [{"name": "compute", "state": state}]}, **meta)


def test_a_deleted_vmi_loses_its_pod_first_and_its_finalizer_last() -> None:
    subject = vmi(scheduled("Running"), **DELETED)
    assert planned(subject, pod("node1")) == (DELETE, RecordEvent("Deleted", "Signaled Deletion"))
    leaving = pod("node1", deletionTimestamp="2026-01-01T00:00:00Z")
    assert planned(subject, leaving) == ()
    (patch,) = planned(vmi(scheduled("Succeeded"), **DELETED))
    assert isinstance(patch, PatchVmi) and patch.only_if_pod_is_gone == GONE
    assert apply(vmi(scheduled("Succeeded"), **DELETED), patch)["metadata"]["finalizers"] == ["other"]


@pytest.mark.parametrize(("vm_goes", "left"), [(False, ["other", VM_FINALIZER]), (True, ["other"])])
def test_a_vmi_whose_virtual_machine_is_deleted_too_is_released_by_one_patch(vm_goes: bool, left: list[str]) -> None:
    deleted = {**DELETED, "finalizers": ["other", VM_FINALIZER, VMI_FINALIZER]}
    subject = vmi(scheduled("Succeeded"), **deleted)
    (patch,) = planned(subject, vm_goes=vm_goes)
    assert apply(subject, patch)["metadata"]["finalizers"] == left


def test_a_grace_period_that_was_shortened_shortens_the_pod_s() -> None:
    """`virtctl stop --force --grace-period 0` writes the VMI, whose pod was made with 30 s and a margin of 30 s."""
    forced = vmi(scheduled("Running"), {**SPEC, "terminationGracePeriodSeconds": 0}, **DELETED)
    launcher = pod("node1")
    launcher = msgspec.structs.replace(launcher, spec=PodSpec("node1", termination_grace_period_seconds=60))
    assert planned(vmi(scheduled("Running"), **DELETED), launcher)[0] == DELETE
    assert planned(forced, launcher)[0] == DeletePod(pod_name(vmi()), "pod-uid", 1)
    leaving = pod("node1", deletionTimestamp="2026-01-01T00:00:00Z", deletionGracePeriodSeconds=60)
    assert planned(forced, leaving) == (DeletePod(pod_name(vmi()), "pod-uid", 1),)
    hurried = pod("node1", deletionTimestamp="2026-01-01T00:00:00Z", deletionGracePeriodSeconds=1)
    assert planned(forced, hurried) == ()


def test_a_forced_stop_of_some_seconds_leaves_the_launcher_time_to_record_the_end() -> None:
    forced = vmi(scheduled("Running"), {**SPEC, "terminationGracePeriodSeconds": 5}, **DELETED)
    launcher = msgspec.structs.replace(pod("node1"), spec=PodSpec("node1", termination_grace_period_seconds=60))
    assert planned(forced, launcher)[0] == DeletePod(pod_name(vmi()), "pod-uid", 7)


DELETE = DeletePod(pod_name(vmi()), "pod-uid")


@pytest.mark.parametrize(
    ("last_word", "exit_code", "phase", "reason", "event"),
    [
        ("GuestShutdown\n", 0, "Succeeded", "GuestShutdown", "Stopped"),
        ("GuestDestroyed", 0, "Failed", "GuestDestroyed", "GuestDestroyed"),
        ("", 0, "Failed", "PodEnded", "PodEnded"),
        ("GuestShutdown", 137, "Failed", "PodEnded", "PodEnded"),  # killed after it had written so
        ("GuestRules", 0, "Failed", "PodEnded", "PodEnded"),  # the guest's side may write anything
    ],
)
@pytest.mark.parametrize("removed", [False, True], ids=["ended", "ended and removed"])
def test_a_deleted_vmi_records_how_its_guest_ended_before_its_finalizer_goes(
    *, last_word: str, exit_code: int, phase: str, reason: str, event: str, removed: bool
) -> None:
    subject = vmi(scheduled("Running"), **DELETED)
    launcher = ended(last_word, exit_code, deletionTimestamp="2026-01-01T00:00:00Z")
    seen = planned(subject, removed=(launcher,)) if removed else planned(subject, launcher)
    patch, recorded = seen
    after = apply(subject, patch)
    assert (after["status"]["phase"], after["status"]["reason"]) == (phase, reason)
    assert VMI_FINALIZER in after["metadata"]["finalizers"]
    assert isinstance(recorded, RecordEvent) and recorded.reason == event
    (finalizer,) = planned(vmi(after["status"], **DELETED))
    assert VMI_FINALIZER not in apply(vmi(after["status"], **DELETED), finalizer)["metadata"]["finalizers"]


def test_the_api_server_is_not_queried_for_a_pod_whose_end_and_removal_were_seen() -> None:
    subject = vmi(scheduled("Succeeded"), **DELETED)
    (patch,) = planned(subject, removed=(ended("GuestShutdown"),))
    assert isinstance(patch, PatchVmi) and patch.only_if_pod_is_gone is None
    assert VMI_FINALIZER not in apply(subject, patch)["metadata"]["finalizers"]
    two = scheduled("Succeeded") | {"activePods": {"pod-uid": "node1", "second": "node2"}}
    (patch,) = planned(vmi(two, **DELETED), removed=(ended("GuestShutdown"),))
    assert isinstance(patch, PatchVmi) and patch.only_if_pod_is_gone is not None


def test_a_deleted_vmi_whose_pod_vanished_fails_only_after_the_api_server_confirms_it() -> None:
    subject = vmi(scheduled("Running"), **DELETED)
    patch, event = planned(subject)
    assert isinstance(patch, PatchVmi) and patch.only_if_pod_is_gone == GONE
    assert apply(subject, patch)["status"]["phase"] == "Failed"
    assert isinstance(event, RecordEvent) and event.reason == "PodGone"


def test_a_deleted_vmi_that_never_had_a_pod_on_a_node_has_nothing_to_record() -> None:
    subject = vmi({"phase": "Scheduling", "activePods": {}}, **DELETED)
    (patch,) = planned(subject)
    assert isinstance(patch, PatchVmi) and patch.only_if_pod_is_gone == GonePod((pod_name(vmi()),), frozenset())
    assert "status" not in {operation["path"].split("/")[1] for operation in patch.operations}


def test_a_deleted_vmi_of_an_unknown_phase_goes_without_a_word_on_its_end() -> None:
    subject = vmi(scheduled("MigrationPreparing"), **DELETED)
    (patch,) = planned(subject, removed=(ended("GuestShutdown"),))
    assert VMI_FINALIZER not in apply(subject, patch)["metadata"]["finalizers"]


def test_a_pod_that_ended_and_was_removed_at_once_is_not_merely_gone() -> None:
    subject = vmi(scheduled("Running"))
    patch, event = planned(subject, removed=(ended(exit_code=3),))
    assert apply(subject, patch)["status"]["reason"] == "PodEnded"
    assert isinstance(event, RecordEvent) and "exit code 3" in event.message


def test_all_pods_of_a_deleted_vmi_go() -> None:
    second = pod("node2", uid="second", name="another")
    deletions = planned(vmi(scheduled("Running"), **DELETED), pod("node1"), second)[:2]
    assert deletions == (DELETE, DeletePod("another", "second"))


def test_a_pod_of_another_uid_never_takes_over_a_running_guest() -> None:
    subject = vmi(scheduled("Running"))
    stranger = pod("node2", uid="stranger")
    patch, event = planned(subject, stranger)
    assert isinstance(patch, PatchVmi) and patch.only_if_pod_is_gone == GONE
    after = apply(subject, patch)["status"]
    assert (after["phase"], after["activePods"]) == ("Failed", {"pod-uid": "node1"})
    assert isinstance(event, RecordEvent) and "stranger" in event.message and pod_name(subject) in event.message
    assert planned(vmi(after), stranger) == ()


def test_a_second_pod_beside_that_of_active_pods_changes_nothing() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert planned(vmi(scheduled("Running")), pod("node1", ready), pod("node2", uid="second")) == ()


def test_a_pod_of_another_name_is_not_adopted() -> None:
    create, _ = planned(vmi(), pod("node1", name="somebody-elses"))
    assert isinstance(create, CreatePod)


def test_of_several_active_pods_the_one_on_the_vmi_s_node_counts() -> None:
    status = {**scheduled("Running"), "activePods": {"a": "node2", "pod-uid": "node1"}}
    others = pod("node2", {"phase": "Succeeded"}, uid="a", name="source")
    assert planned(vmi(status), others, pod("node1")) == ()


def test_a_node_that_is_lost_fails_a_deleted_vmi_no_faster_than_its_pod_goes() -> None:
    leaving = pod("node1", deletionTimestamp="2026-01-01T00:00:00Z")
    trouble = Trouble("NodeUnreachable", "node node1 is unreachable")
    patch, event = planned(vmi(scheduled("Running"), **DELETED), leaving, troubles=at_node1(trouble))
    assert apply(vmi(scheduled("Running"), **DELETED), patch)["status"]["phase"] == "Running"
    assert isinstance(event, RecordEvent) and event.reason == "NodeUnreachable"


def test_without_the_clusters_configuration_no_pod_is_created_and_the_condition_has_the_reason() -> None:
    why = "there is no KubeVirt object in namespace kubevirt"
    patch, event = PLANNER.plan(observed(vmi(), (), None, NOW, unconfigured=why))
    after = apply(vmi(), patch)["status"]
    (condition,) = [found for found in after["conditions"] if found["type"] == "Synchronized"]
    assert (condition["reason"], condition["message"]) == ("NotConfigured", why)
    assert isinstance(event, RecordEvent) and event.message == why
    assert PLANNER.plan(observed(vmi(after), (), None, NOW, unconfigured=why)) == ()
    (handed_over,) = plan(vmi(after), pod("node1"))
    assert not [c for c in apply(vmi(after), handed_over)["status"]["conditions"] if c["type"] == "Synchronized"]
