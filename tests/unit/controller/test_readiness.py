"""The controller's part of the condition Ready: nodes in trouble, terminating pods, users' probes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from virt_controller.actions import LookAgain, RecordEvent
from virt_controller.node.health import NODE_DELETED, NODE_OUT_OF_SERVICE, Trouble
from virt_controller.pod.observed import LauncherPod
from virt_controller.pod.template import pod_name
from virt_controller.vmi.actions import Action, DeletePod, PatchVmi
from virt_core.vmi.instance import VirtualMachineInstance

from tests.unit.controller.planning import (
    COMPUTE,
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

PROBED = {**SPEC, "readinessProbe": {"tcpSocket": {"port": 22}}}
LOST = Trouble("NodeUnreachable", "node node1 is unreachable")


def running(ready: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", **(ready or {"status": "True"})}]
    return {**scheduled("Running"), "conditions": conditions, **more}


def alive(ready: str = "True", **meta: Any) -> LauncherPod:
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}], "containerStatuses": [COMPUTE]}
    return pod("node1", status, **meta)


def with_trouble(subject: VirtualMachineInstance, trouble: Trouble | None) -> tuple[Action, ...]:
    return PLANNER.plan(observed(subject, (alive(),), EMULATION, NOW, troubles=at_node1(trouble)))


def ready(body: dict[str, Any]) -> dict[str, Any]:
    (found,) = [condition for condition in body["status"]["conditions"] if condition["type"] == "Ready"]
    return dict(found)


def test_a_node_in_trouble_is_reported_once_and_the_guest_does_not_fail() -> None:
    subject = vmi(running())
    patch, event = with_trouble(subject, LOST)
    updated = apply(subject, patch)
    assert (ready(updated)["status"], ready(updated)["reason"]) == ("False", "NodeUnreachable")
    assert updated["status"]["phase"] == "Running"
    assert isinstance(event, RecordEvent) and event.warning and "node1" in event.message
    assert with_trouble(vmi(updated["status"]), Trouble("NodeUnreachable", "in other words")) == ()


def test_when_the_node_is_back_the_word_is_the_handlers() -> None:
    subject = vmi(running({"status": "False", "reason": "NodeUnreachable"}))
    (patch,) = with_trouble(subject, None)
    updated = apply(subject, patch)
    assert ready(updated)["status"] == "Unknown"
    assert with_trouble(vmi(updated["status"]), None) == ()


@pytest.mark.parametrize("reason", [NODE_DELETED, NODE_OUT_OF_SERVICE])
def test_a_node_that_will_not_come_back_fails_its_guests_and_takes_their_pods(reason: str) -> None:
    patch, event, delete = with_trouble(vmi(running()), Trouble(reason, "words", lost=True))
    after = apply(vmi(running()), patch)["status"]
    assert (after["phase"], after["reason"]) == ("Failed", reason)
    assert ready({"status": after})["message"] == "words"
    assert isinstance(event, RecordEvent) and event.reason == reason
    assert delete == DeletePod(pod_name(vmi()), "pod-uid")
    # Whether the node is really gone only the API server knows; a taint is an administrator's word.
    assert isinstance(patch, PatchVmi)
    assert patch.only_if_node_is_gone == ("node1" if reason == NODE_DELETED else None)


def test_a_pod_that_terminates_under_its_guest_is_reported_with_the_reason() -> None:
    evicted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "evicting"}
    terminating = pod("node1", {"phase": "Running", "conditions": [evicted]}, deletionTimestamp="2026-01-01T00:00:00Z")
    subject = vmi(running())
    patch, event = plan(subject, terminating)
    updated = apply(subject, patch)
    assert ready(updated)["reason"] == "PodTerminating" and "evicting" in ready(updated)["message"]
    assert isinstance(event, RecordEvent) and "evicting" in event.message
    assert plan(vmi(updated["status"]), terminating) == ()
    gone, _ = plan(vmi(updated["status"]))
    failed = apply(vmi(updated["status"]), gone)
    assert failed["status"]["reason"] == "PodGone" and "evicting" in ready(failed)["message"]


@pytest.mark.parametrize("state", ["True", "False"])
def test_with_a_readiness_probe_ready_is_what_the_kubelet_found(state: str) -> None:
    before = {"status": "False" if state == "True" else "True", "reason": "GuestNotRunning"}
    subject = vmi(running(before), spec=PROBED)
    (patch,) = plan(subject, alive(state))
    updated = apply(subject, patch)
    assert ready(updated)["status"] == state
    assert plan(vmi(updated["status"], spec=PROBED), alive(state)) == ()
    assert plan(vmi(running(before)), alive(state)) == ()  # without a probe the kubelet knows nothing of the guest


def test_conditions_of_the_handler_during_a_start_are_not_changed() -> None:
    """A refused disk, for example: the pod is well, so nobody else would say it."""
    refused = {"type": "Synchronized", "status": "False", "reason": "DiskRefused", "message": "two disks"}
    status = {**scheduled("Scheduled"), "conditions": [refused]}
    assert plan(vmi(status), alive()) == ()


def test_a_container_that_fails_later_is_reported_and_the_phase_stays() -> None:
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    failing = [{"name": "volumeroot", "image": "disk:1", "state": state}]
    stored = vmi({**scheduled("Scheduled"), "conditions": []})
    patch, event = plan(stored, pod("node1", {"initContainerStatuses": failing, "containerStatuses": [COMPUTE]}))
    after = apply(stored, patch)["status"]
    assert after["phase"] == "Scheduled" and "volumeroot" in str(after["conditions"])
    assert isinstance(event, RecordEvent) and event.reason == "CrashLoopBackOff"


def test_the_schedulers_newest_message_is_reported() -> None:
    def stuck(message: str) -> LauncherPod:
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        return pod(status={"conditions": [condition]})

    patch, _ = plan(vmi(), stuck("0/2 nodes: insufficient memory"))
    status = apply(vmi(), patch)["status"]
    assert plan(vmi(status), stuck("0/2 nodes: insufficient memory")) == ()
    patch, _ = plan(vmi(status), stuck("0/3 nodes: insufficient memory"))
    assert "0/3" in str(apply(vmi(status), patch)["status"]["conditions"])


def test_what_the_pod_is_goes_into_the_status_at_the_hand_over() -> None:
    placed = pod("node1", {"qosClass": "Burstable"}, annotations={"kubevirt.io/launcher-image": "launcher:1"})
    (patch,) = plan(vmi(), placed)
    after = apply(vmi(), patch)["status"]
    assert (after["qosClass"], after["runtimeUser"]) == ("Burstable", 107)
    assert after["launcherContainerImageVersion"] == "launcher:1"


def test_a_pod_that_kubernetes_is_about_to_end_is_reported_and_cleared_if_it_stays() -> None:
    doomed = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": "no memory"}
    patch, event = plan(vmi(running()), pod("node1", {"phase": "Running", "conditions": [doomed]}))
    updated = apply(vmi(running()), patch)
    assert ready(updated)["reason"] == "PodTerminating" and "no memory" in ready(updated)["message"]
    assert isinstance(event, RecordEvent)
    (patch,) = plan(vmi(updated["status"]), alive())
    assert ready(apply(vmi(updated["status"]), patch))["status"] == "Unknown"


def test_a_deletion_that_waits_for_a_node_in_trouble_is_explained() -> None:
    subject = vmi(running(), deletionTimestamp="2026-01-01T00:00:00Z")
    terminating = alive(deletionTimestamp="2026-01-01T00:00:00Z")
    patch, event = PLANNER.plan(observed(subject, (terminating,), EMULATION, NOW, troubles=at_node1(LOST)))
    updated = apply(subject, patch)
    assert ready(updated)["reason"] == "NodeUnreachable" and updated["status"]["phase"] == "Running"
    assert isinstance(event, RecordEvent)
    again = vmi(updated["status"], deletionTimestamp="2026-01-01T00:00:00Z")
    assert PLANNER.plan(observed(again, (terminating,), EMULATION, NOW, troubles=at_node1(LOST))) == ()


def test_scheduled_is_written_only_of_a_guest_that_does_not_run_soon_after_its_pod_is_ready() -> None:
    ready = pod("node1", {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [COMPUTE]})
    seen = observed(vmi(scheduled()), (ready,), EMULATION, NOW)
    assert PLANNER.plan(seen) == (LookAgain(2.0),)
    assert PLANNER.plan(replace(seen, ready_for=1.5)) == (LookAgain(0.5),)
    (patch,) = PLANNER.plan(replace(seen, ready_for=2.0))
    assert apply(vmi(scheduled()), patch)["status"]["phase"] == "Scheduled"
