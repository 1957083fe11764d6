"""The handler's actions for a machine in each situation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kubevirt.launcher.v1 import state_pb2
from virt_handler.machines.actions import (
    AcknowledgeEnd,
    PatchStatus,
    PrepareDisks,
    PrepareNetwork,
    RecordEvent,
    StartMachine,
)
from virt_handler.machines.guest_state import GuestState
from virt_handler.machines.observe import Observed
from virt_handler.machines.plan import plan

from tests.unit.handler.demo import NODE, POD_UID, VMI_UID, MakeVmi
from tests.unit.handler.planning import (
    ABSENT,
    ALIVE,
    NOW,
    RUNNING,
    accepted,
    apply,
    conditions,
    observe,
)


def test_a_launcher_without_machine_gets_network_then_machine(make_vmi: MakeVmi) -> None:
    for phase in ("Scheduling", "Scheduled"):
        network, start = plan(observe(make_vmi(status={"phase": phase}), ABSENT), NOW)
        assert isinstance(network, PrepareNetwork)
        assert isinstance(start, StartMachine)
        assert start.machine.uid == VMI_UID


def test_without_the_cluster_s_configuration_nothing_is_started(make_vmi: MakeVmi) -> None:
    vmi = make_vmi(status={"phase": "Scheduling"})
    assert plan(replace(observe(vmi, ABSENT), configured=False), NOW) == ()


@pytest.mark.parametrize("phase", [*ALIVE, "Succeeded", "Failed"])
def test_nothing_is_concluded_from_silence(make_vmi: MakeVmi, phase: str) -> None:
    assert plan(observe(make_vmi(status={"phase": phase}), None), NOW) == ()


@pytest.mark.parametrize("phase", ["", "Pending", "Running", "Succeeded", "Failed"])
def test_a_machine_that_is_not_being_scheduled_is_never_started(make_vmi: MakeVmi, phase: str) -> None:
    assert plan(observe(make_vmi(status={"phase": phase}), ABSENT), NOW) == ()


def test_a_machine_being_deleted_or_without_pod_here_is_never_started(make_vmi: MakeVmi) -> None:
    assert plan(observe(make_vmi(deletionTimestamp="2026-01-31T09:00:00Z"), ABSENT), NOW) == ()
    assert plan(observe(make_vmi(status={"activePods": {POD_UID: "node2"}}), ABSENT), NOW) == ()
    assert plan(observe(make_vmi(status={"activePods": {}}), ABSENT), NOW) == ()


def test_of_a_vmi_with_two_pods_the_one_on_its_node_counts(make_vmi: MakeVmi) -> None:
    other = "1c9d4e21-2222-4f0a-9d43-7a1f5f2f9c00"
    migrating = {POD_UID: NODE, other: "node2"}
    here = make_vmi(status={"phase": "Running", "activePods": migrating})
    assert plan(observe(here, RUNNING), NOW)
    there = make_vmi(status={"phase": "Running", "activePods": migrating, "nodeName": "node2"})
    assert plan(observe(there, RUNNING), NOW) == ()
    both = make_vmi(status={"phase": "Scheduling", "activePods": {POD_UID: NODE, other: NODE}})
    assert plan(observe(both, ABSENT), NOW) == ()


@pytest.mark.parametrize(
    ("end", "phase"), [(state_pb2.MACHINE_END_SHUTDOWN, "Succeeded"), (state_pb2.MACHINE_END_DESTROYED, "Failed")]
)
def test_a_vmi_that_is_being_deleted_is_followed_to_its_end(make_vmi: MakeVmi, end: Any, phase: str) -> None:
    deleted = "2026-01-31T09:59:00Z"
    vmi = make_vmi(status={"phase": "Running"}, deletionTimestamp=deleted)
    guest = GuestState(VMI_UID, state_pb2.MACHINE_PHASE_ENDED, end)
    write, event = plan(observe(vmi, guest), NOW)
    assert isinstance(write, PatchStatus) and isinstance(event, RecordEvent)
    status = apply(vmi.raw_status, write.operations)
    assert (status["phase"], event.reason) == (phase, "Stopped")
    assert plan(observe(make_vmi(status=status, deletionTimestamp=deleted), guest), NOW) == (
        AcknowledgeEnd(VMI_UID, end),
    )


def test_an_end_is_recorded_when_the_launcher_is_gone_already(make_vmi: MakeVmi) -> None:
    guest = GuestState(VMI_UID, state_pb2.MACHINE_PHASE_ENDED, state_pb2.MACHINE_END_SHUTDOWN)
    running = make_vmi(status={"phase": "Running"})
    disconnected = Observed(running, NODE, accepted(running), guest=guest, network=None)
    write, _ = plan(disconnected, NOW)
    assert isinstance(write, PatchStatus)


def test_claims_are_prepared_before_the_machine_is_started(make_vmi: MakeVmi) -> None:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}]
    claim = {"name": "data", "persistentVolumeClaimInfo": {"volumeMode": "Filesystem"}}
    _, disks, start = plan(observe(make_vmi(spec={"volumes": volumes}, status={"volumeStatus": [claim]}), ABSENT), NOW)
    assert isinstance(disks, PrepareDisks) and isinstance(start, StartMachine)
    assert [disk.name for disk in disks.disks] == ["data"]


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_an_end_that_is_written_is_final(make_vmi: MakeVmi, phase: str) -> None:
    assert plan(observe(make_vmi(status={"phase": phase}), RUNNING), NOW) == ()


@pytest.mark.parametrize(
    ("end", "phase", "reason"),
    [
        (state_pb2.MACHINE_END_SHUTDOWN, "Succeeded", "GuestShutdown"),
        (state_pb2.MACHINE_END_PANICKED, "Failed", "GuestPanicked"),
        (state_pb2.MACHINE_END_CRASHED, "Failed", "HypervisorCrashed"),
        (state_pb2.MACHINE_END_START_FAILED, "Failed", "StartFailed"),
        (99, "Failed", "EndedForUnknownReason"),
    ],
)
def test_an_end_is_written_then_acknowledged(make_vmi: MakeVmi, end: Any, phase: str, reason: str) -> None:
    vmi = make_vmi(status={"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
    guest = GuestState(VMI_UID, state_pb2.MACHINE_PHASE_ENDED, end, "why")
    write, event = plan(observe(vmi, guest), NOW)
    assert isinstance(write, PatchStatus) and isinstance(event, RecordEvent)
    assert (event.reason, event.warning) == ("SyncFailed" if reason == "StartFailed" else "Stopped", phase == "Failed")
    status = apply(vmi.raw_status, write.operations)
    assert (status["phase"], status["reason"]) == (phase, reason)
    (ready,) = status["conditions"]
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", reason, "why")
    assert plan(observe(make_vmi(status=status), guest), NOW) == (AcknowledgeEnd(VMI_UID, end),)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (state_pb2.MACHINE_END_PANICKED, "crashed: GuestPanicked: why"),
        (state_pb2.MACHINE_END_DESTROYED, "was stopped by force: GuestDestroyed: why"),
    ],
)
def test_a_guest_that_somebody_stopped_is_not_called_crashed(make_vmi: MakeVmi, end: Any, words: str) -> None:
    guest = GuestState(VMI_UID, state_pb2.MACHINE_PHASE_ENDED, end, "why")
    deleted = make_vmi(status={"phase": "Running"}, deletionTimestamp="2026-01-31T09:00:00Z")
    _, event = plan(observe(deleted, guest), NOW)
    assert isinstance(event, RecordEvent) and event.message == f"The VirtualMachineInstance {words}"


@pytest.mark.parametrize("phase", [state_pb2.MACHINE_PHASE_STARTING, state_pb2.MACHINE_PHASE_UNKNOWN, 99])
def test_an_unknown_state_changes_nothing(make_vmi: MakeVmi, phase: Any) -> None:
    assert plan(observe(make_vmi(status={"phase": "Running"}), GuestState(VMI_UID, phase)), NOW) == ()


def test_a_launcher_that_speaks_of_another_machine_is_not_believed(make_vmi: MakeVmi) -> None:
    vmi = make_vmi(status={"phase": "Running"})
    for phase in (state_pb2.MACHINE_PHASE_RUNNING, state_pb2.MACHINE_PHASE_ENDED):
        assert plan(observe(vmi, GuestState("another", phase)), NOW) == ()


def test_a_guest_that_shut_down_because_its_pod_was_taken_away_has_failed(make_vmi: MakeVmi) -> None:
    vmi = make_vmi(status=conditions("False", "PodTerminating"))
    patch, _ = plan(
        observe(vmi, GuestState(VMI_UID, state_pb2.MACHINE_PHASE_ENDED, state_pb2.MACHINE_END_SHUTDOWN)), NOW
    )
    assert isinstance(patch, PatchStatus)
    status = apply(vmi.raw_status, patch.operations)
    assert (status["phase"], status["reason"]) == ("Failed", "PodTerminating")
    assert "words" in status["conditions"][0]["message"]


@pytest.mark.parametrize("phase", ALIVE)
def test_the_controller_reports_a_guest_that_the_kubelet_ended_unless_the_reason_is_known(
    make_vmi: MakeVmi, phase: str
) -> None:
    destroyed = GuestState(
        VMI_UID, state_pb2.MACHINE_PHASE_ENDED, state_pb2.MACHINE_END_DESTROYED, "destroyed on request"
    )
    assert plan(observe(make_vmi(status={"phase": phase}), destroyed), NOW) == ()
    terminating = {"type": "Ready", "status": "False", "reason": "PodTerminating", "message": "drained"}
    patch, _ = plan(observe(make_vmi(status={"phase": phase, "conditions": [terminating]}), destroyed), NOW)
    assert isinstance(patch, PatchStatus)
    (acknowledge,) = plan(observe(make_vmi(status={"phase": "Failed"}), destroyed), NOW)
    assert isinstance(acknowledge, AcknowledgeEnd)
