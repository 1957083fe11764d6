"""What is done about a machine in each situation."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from kubevirt.launcher.v1 import state_pb2
from virt_core.objects.kubevirt import Configuration
from virt_core.testing.patches import json_patch
from virt_core.vmi.accepted import AcceptedSpec, AcceptedSpecs, RefusedSpec
from virt_core.vmi.instance import VirtualMachineInstance
from virt_handler.machines.actions import (
    AcknowledgeEnd,
    PatchStatus,
    PrepareDisks,
    PrepareNetwork,
    RecordEvent,
    StartMachine,
)
from virt_handler.machines.guest_state import AgentState, DiskState, GuestInterface, GuestState
from virt_handler.machines.observe import LauncherRefusal, Observed
from virt_handler.machines.plan import plan
from virt_handler.network.plan import PodNetwork, Route

from .conftest import NODE, POD_UID, VMI_UID, MakeVmi

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
POD = PodNetwork(1500, ("10.244.1.7",))
ABSENT = GuestState("", state_pb2.MACHINE_PHASE_ABSENT)
RUNNING = GuestState(VMI_UID, state_pb2.MACHINE_PHASE_RUNNING)
ALIVE = ["Scheduling", "Scheduled", "Running"]


def accepted(vmi: VirtualMachineInstance) -> AcceptedSpec | RefusedSpec:
    return AcceptedSpecs().of(vmi, Configuration())


def observe(
    vmi: VirtualMachineInstance, guest: GuestState | None, *, refusal: LauncherRefusal | None = None
) -> Observed:
    return Observed(vmi, NODE, accepted(vmi), guest=guest, network=POD if guest else None, refusal=refusal)


def apply(stored: dict[str, Any], operations: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """As the API server would; every test of the patch must hold."""
    whole = {"metadata": {"uid": VMI_UID, "resourceVersion": ""}, "status": stored}
    patched: dict[str, Any] = json_patch(whole, list(operations))["status"]
    return patched


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


@pytest.mark.parametrize("phase", ALIVE)
def test_a_running_guest_is_written_once(make_vmi: MakeVmi, phase: str) -> None:
    scheduled = {"type": "PodScheduled", "status": "True"}
    first = {"phase": "Scheduling", "phaseTransitionTimestamp": "2026-01-31T09:59:58Z"}
    vmi = make_vmi(status={"phase": phase, "conditions": [scheduled], "phaseTransitionTimestamps": [first]})
    write, *events = plan(observe(vmi, RUNNING), NOW)
    assert isinstance(write, PatchStatus)
    assert [event.reason for event in events if isinstance(event, RecordEvent)] == (
        [] if phase == "Running" else ["Created", "Started"]
    )
    status = apply(vmi.raw_status, write.operations)
    assert (status["phase"], status["nodeName"], status["activePods"]) == ("Running", NODE, {POD_UID: NODE})
    (interface,) = status["interfaces"]
    assert (interface["ipAddress"], interface["ipAddresses"], interface["name"]) == (
        "10.244.1.7",
        ["10.244.1.7"],
        "default",
    )
    conditions = {condition["type"]: condition for condition in status["conditions"]}
    assert conditions["PodScheduled"]["status"] == "True"
    assert (conditions["Ready"]["status"], conditions["Ready"]["lastTransitionTime"]) == (
        "True",
        "2026-01-31T10:00:00Z",
    )
    assert conditions["LiveMigratable"]["reason"] == "NotSupported"
    moved = [] if phase == "Running" else [{"phase": "Running", "phaseTransitionTimestamp": "2026-01-31T10:00:00Z"}]
    assert status["phaseTransitionTimestamps"] == [first, *moved]
    later = datetime(2026, 1, 31, 11, tzinfo=UTC)
    assert plan(observe(make_vmi(status=status), RUNNING), later) == ()


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


@pytest.mark.parametrize("phase", [state_pb2.MACHINE_PHASE_STARTING, state_pb2.MACHINE_PHASE_UNKNOWN, 99])
def test_a_state_that_tells_nothing_changes_nothing(make_vmi: MakeVmi, phase: Any) -> None:
    assert plan(observe(make_vmi(status={"phase": "Running"}), GuestState(VMI_UID, phase)), NOW) == ()


def test_a_launcher_that_speaks_of_another_machine_is_not_believed(make_vmi: MakeVmi) -> None:
    vmi = make_vmi(status={"phase": "Running"})
    for phase in (state_pb2.MACHINE_PHASE_RUNNING, state_pb2.MACHINE_PHASE_ENDED):
        assert plan(observe(vmi, GuestState("another", phase)), NOW) == ()


def test_a_refusal_is_planned_until_the_object_shows_it_and_the_launcher_is_not_asked_again(make_vmi: MakeVmi) -> None:
    vmi, refusal = make_vmi(), LauncherRefusal("UnsupportedByPeer", "Machine.x")
    write, event = plan(observe(vmi, ABSENT, refusal=refusal), NOW)
    assert isinstance(write, PatchStatus)
    assert event == RecordEvent("UnsupportedByPeer", "Machine.x", warning=True)
    status = apply(vmi.raw_status, write.operations)
    assert status["phase"] == "Scheduling"
    (condition,) = status["conditions"]
    assert (condition["type"], condition["status"]) == ("Synchronized", "False")
    assert (condition["reason"], condition["message"]) == ("UnsupportedByPeer", "Machine.x")
    assert plan(observe(make_vmi(status=status), ABSENT, refusal=refusal), NOW) == ()


def test_a_spec_that_is_not_supported_is_refused_by_name(make_vmi: MakeVmi) -> None:
    _, event = plan(observe(make_vmi(domain={"devices": {"gpus": []}}), ABSENT), NOW)
    assert isinstance(event, RecordEvent)
    assert "gpus" in event.message


def test_a_refusal_ends_when_the_guest_runs(make_vmi: MakeVmi) -> None:
    vmi = make_vmi(status={"conditions": [{"type": "Synchronized", "status": "False", "reason": "UnsupportedByPeer"}]})
    write, *_ = plan(observe(vmi, RUNNING), NOW)
    assert isinstance(write, PatchStatus)
    conditions = apply(vmi.raw_status, write.operations)["conditions"]
    assert {c["type"]: c["status"] for c in conditions}["Synchronized"] == "True"


def conditions(status: str, reason: str) -> dict[str, Any]:
    ready = {"type": "Ready", "status": status, "reason": reason, "message": "words"}
    return {"phase": "Running", "conditions": [ready]}


@pytest.mark.parametrize("reason", ["NodeUnreachable", "NodeNotReady", "HandlerUnresponsive", "PodTerminating"])
def test_what_the_controller_says_of_ready_is_not_overruled(make_vmi: MakeVmi, reason: str) -> None:
    vmi = make_vmi(status=conditions("False", reason))
    (patch,) = plan(observe(vmi, RUNNING), NOW)  # what else there is to say
    assert isinstance(patch, PatchStatus)
    status = apply(vmi.raw_status, patch.operations)
    (ready,) = [condition for condition in status["conditions"] if condition["type"] == "Ready"]
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert plan(observe(make_vmi(status=status), RUNNING), NOW) == ()


def test_once_the_controller_has_taken_it_back_the_handler_says_how_the_guest_is(make_vmi: MakeVmi) -> None:
    vmi = make_vmi(status=conditions("Unknown", "Recovered"))
    (patch,) = plan(observe(vmi, RUNNING), NOW)
    assert isinstance(patch, PatchStatus)
    status = apply(vmi.raw_status, patch.operations)
    assert {condition["type"]: condition["status"] for condition in status["conditions"]}["Ready"] == "True"


def test_a_guest_that_shut_down_because_its_pod_was_taken_away_has_failed(make_vmi: MakeVmi) -> None:
    vmi = make_vmi(status=conditions("False", "PodTerminating"))
    patch, _ = plan(
        observe(vmi, GuestState(VMI_UID, state_pb2.MACHINE_PHASE_ENDED, state_pb2.MACHINE_END_SHUTDOWN)), NOW
    )
    assert isinstance(patch, PatchStatus)
    status = apply(vmi.raw_status, patch.operations)
    assert (status["phase"], status["reason"]) == ("Failed", "PodTerminating")
    assert "words" in status["conditions"][0]["message"]


def status_after(vmi: VirtualMachineInstance, guest: GuestState) -> dict[str, Any]:
    """The status after what is planned; planning again from there plans nothing."""
    actions = plan(observe(vmi, guest), NOW)
    status = vmi.raw_status
    for action in actions:
        if isinstance(action, PatchStatus):
            status = apply(status, action.operations)
        else:
            assert isinstance(action, RecordEvent)
    return status


def types(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {condition["type"]: (condition["status"], condition.get("reason", "")) for condition in status["conditions"]}


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        (state_pb2.PAUSE_REASON_BY_USER, "PausedByUser"),
        (state_pb2.PAUSE_REASON_IO_ERROR, "PausedIOError"),
        (state_pb2.PAUSE_REASON_BY_HYPERVISOR, "PausedByHypervisor"),
    ],
)
def test_a_guest_that_stands_still_is_running_and_paused_until_it_goes_on(
    make_vmi: MakeVmi, why: Any, reason: str
) -> None:
    paused = status_after(make_vmi(), GuestState(VMI_UID, state_pb2.MACHINE_PHASE_PAUSED, pause_reason=why))
    assert paused["phase"] == "Running"
    assert types(paused)["Paused"] == ("True", reason)
    assert types(paused)["Ready"] == ("False", "GuestNotRunning")
    again = make_vmi(status=paused)
    assert plan(observe(again, GuestState(VMI_UID, state_pb2.MACHINE_PHASE_PAUSED, pause_reason=why)), NOW) == ()
    on = status_after(again, RUNNING)
    assert "Paused" not in types(on)
    assert types(on)["Ready"] == ("True", "")


def test_what_the_agent_says_is_told_while_it_is_connected(make_vmi: MakeVmi) -> None:
    mac = status_after(make_vmi(), RUNNING)["interfaces"][0]["mac"]
    cards = (
        GuestInterface("enp1s0", mac, ("10.0.2.2",)),
        GuestInterface("docker0", "02:42:00:00:00:01", ("172.17.0.1",)),
    )
    agent = AgentState((("id", "debian"),), (*cards, GuestInterface("lo", "", ("127.0.0.1",))), frozen=True)
    status = status_after(make_vmi(), GuestState(VMI_UID, state_pb2.MACHINE_PHASE_RUNNING, agent=agent))
    assert types(status)["AgentConnected"] == ("True", "")
    assert (status["guestOSInfo"], status["fsFreezeStatus"]) == ({"id": "debian"}, "frozen")
    own, other = status["interfaces"]
    assert (own["interfaceName"], own["infoSource"], own["ipAddress"]) == (
        "enp1s0",
        "domain, guest-agent",
        "10.244.1.7",
    )
    assert (other["interfaceName"], other["ipAddresses"]) == ("docker0", ["172.17.0.1"])
    gone = status_after(make_vmi(status=status), RUNNING)
    assert "AgentConnected" not in types(gone) and "guestOSInfo" not in gone and "fsFreezeStatus" not in gone
    assert len(gone["interfaces"]) == 1


def test_a_card_that_the_guest_has_bridged_is_told_beside_its_bridge(make_vmi: MakeVmi) -> None:
    mac = status_after(make_vmi(), RUNNING)["interfaces"][0]["mac"]
    agent = AgentState((), (GuestInterface("enp1s0", mac, ()), GuestInterface("br0", mac, ("10.0.2.2",))))
    status = status_after(make_vmi(), GuestState(VMI_UID, state_pb2.MACHINE_PHASE_RUNNING, agent=agent))
    assert [interface["interfaceName"] for interface in status["interfaces"]] == ["enp1s0", "br0"]
    assert status["interfaces"][1]["ipAddresses"] == ["10.0.2.2"]


def test_disks_of_the_running_guest_join_what_is_known_of_their_claims(make_vmi: MakeVmi) -> None:
    claim = {"claimName": "c", "volumeMode": "Block"}
    stored = [{"name": "root", "target": "", "persistentVolumeClaimInfo": claim}]
    volumes = [
        {"name": "root", "persistentVolumeClaim": {"claimName": "c"}},
        {"name": "scratch", "emptyDisk": {"capacity": "1Gi"}},
    ]
    vmi = make_vmi(spec={"volumes": volumes}, status={"volumeStatus": stored})
    disks = (DiskState("root", "sda", 1 << 30), DiskState("scratch", "sdb", 2 << 30))
    status = status_after(vmi, GuestState(VMI_UID, state_pb2.MACHINE_PHASE_RUNNING, disks=disks))
    root, scratch = status["volumeStatus"]
    assert root == {"name": "root", "target": "sda", "size": 1 << 30, "persistentVolumeClaimInfo": claim}
    assert scratch == {"name": "scratch", "target": "sdb", "size": 2 << 30}


def test_the_machine_type_is_the_hypervisors(make_vmi: MakeVmi) -> None:
    status = status_after(make_vmi(), GuestState(VMI_UID, state_pb2.MACHINE_PHASE_RUNNING, machine_type="pc-q35-10.0"))
    assert (status["phase"], status["machine"]) == ("Running", {"type": "pc-q35-10.0"})
    assert status_after(make_vmi(status=status), RUNNING)["machine"] == {"type": "pc-q35-10.0"}
    assert "machine" not in status_after(make_vmi(), RUNNING)


def test_a_disk_that_could_not_be_prepared_is_named(make_vmi: MakeVmi) -> None:
    failed = GuestState(
        VMI_UID,
        state_pb2.MACHINE_PHASE_ENDED,
        state_pb2.MACHINE_END_START_FAILED,
        "two files in /disk",
        failed_disk="root",
    )
    status = status_after(make_vmi(), failed)
    assert status["phase"] == "Failed"
    assert next(condition for condition in status["conditions"] if condition["type"] == "Ready")["message"] == (
        "disk root: two files in /disk"
    )


@pytest.mark.parametrize("words", ["is corrupt", "disk root: is corrupt"], ids=["now", "of an older launcher"])
def test_a_disk_that_could_not_be_prepared_is_told_with_the_users_claim_and_once(make_vmi: MakeVmi, words: str) -> None:
    volumes = [{"name": "root", "persistentVolumeClaim": {"claimName": "shop-db"}}]
    failed = GuestState(
        VMI_UID, state_pb2.MACHINE_PHASE_ENDED, state_pb2.MACHINE_END_START_FAILED, words, failed_disk="root"
    )
    status = status_after(make_vmi(spec={"volumes": volumes}), failed)
    (ready,) = [condition for condition in status["conditions"] if condition["type"] == "Ready"]
    assert ready["message"] == "disk root (PersistentVolumeClaim shop-db): is corrupt"


def test_a_pod_whose_routes_do_not_fit_is_refused_by_condition_and_event_and_nothing_is_changed(
    make_vmi: MakeVmi,
) -> None:
    interfaces = [{"name": "default", "bridge": {}}]
    vmi = make_vmi(domain={"devices": {"interfaces": interfaces}}, spec={"networks": [{"name": "default", "pod": {}}]})
    routes = tuple(Route(f"10.{number}.0.0/16", "10.244.0.1") for number in range(12))
    pod = PodNetwork(1500, ("10.244.0.5",), 24, "0a:58:0a:f4:00:05", routes)
    write, event = plan(Observed(vmi, NODE, accepted(vmi), guest=ABSENT, network=pod), NOW)
    assert isinstance(write, PatchStatus) and isinstance(event, RecordEvent)
    assert event.reason == "PodNetworkNotBridged"
    assert "12 routes" in event.message and "10.0.0.0/16 via 10.244.0.1" in event.message and "255" in event.message
    status = apply(dict(vmi.raw_status), write.operations)
    (condition,) = [condition for condition in status["conditions"] if condition["type"] == "Synchronized"]
    assert (condition["status"], condition["message"]) == ("False", event.message)
    again = make_vmi(
        domain={"devices": {"interfaces": interfaces}},
        spec={"networks": [{"name": "default", "pod": {}}]},
        status=status,
    )
    assert plan(Observed(again, NODE, accepted(again), guest=ABSENT, network=pod), NOW) == ()  # told once
    few = PodNetwork(1500, ("10.244.0.5",), 24, "0a:58:0a:f4:00:05", routes[:2])
    network, start = plan(Observed(again, NODE, accepted(again), guest=ABSENT, network=few), NOW)
    assert isinstance(network, PrepareNetwork) and isinstance(start, StartMachine)


@pytest.mark.parametrize("phase", ALIVE)
def test_a_guest_that_the_kubelet_ended_is_left_to_the_controller_unless_it_has_told_why(
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
