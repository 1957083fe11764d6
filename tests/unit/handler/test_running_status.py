"""What the handler writes of a running guest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from kubevirt.launcher.v1 import state_pb2
from virt_handler.machines.actions import (
    PatchStatus,
    RecordEvent,
)
from virt_handler.machines.guest_state import AgentState, DiskState, GuestInterface, GuestState
from virt_handler.machines.plan import plan

from tests.unit.handler.demo import NODE, POD_UID, VMI_UID, MakeVmi
from tests.unit.handler.planning import (
    ALIVE,
    NOW,
    RUNNING,
    apply,
    conditions,
    observe,
    status_after,
    types,
)


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
    assert conditions["LiveMigratable"]["status"] == "True"
    moved = [] if phase == "Running" else [{"phase": "Running", "phaseTransitionTimestamp": "2026-01-31T10:00:00Z"}]
    assert status["phaseTransitionTimestamps"] == [first, *moved]
    later = datetime(2026, 1, 31, 11, tzinfo=UTC)
    assert plan(observe(make_vmi(status=status), RUNNING), later) == ()


@pytest.mark.parametrize("reason", ["NodeUnreachable", "NodeNotReady", "HandlerUnresponsive", "PodTerminating"])
def test_the_controllers_reasons_of_ready_are_not_overwritten(make_vmi: MakeVmi, reason: str) -> None:
    vmi = make_vmi(status=conditions("False", reason))
    (patch,) = plan(observe(vmi, RUNNING), NOW)  # what else there is to say
    assert isinstance(patch, PatchStatus)
    status = apply(vmi.raw_status, patch.operations)
    (ready,) = [condition for condition in status["conditions"] if condition["type"] == "Ready"]
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert plan(observe(make_vmi(status=status), RUNNING), NOW) == ()


def test_the_handler_writes_ready_again_once_the_controller_has_cleared_its_reason(make_vmi: MakeVmi) -> None:
    vmi = make_vmi(status=conditions("Unknown", "Recovered"))
    (patch,) = plan(observe(vmi, RUNNING), NOW)
    assert isinstance(patch, PatchStatus)
    status = apply(vmi.raw_status, patch.operations)
    assert {condition["type"]: condition["status"] for condition in status["conditions"]}["Ready"] == "True"


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        (state_pb2.PAUSE_REASON_BY_USER, "PausedByUser"),
        (state_pb2.PAUSE_REASON_IO_ERROR, "PausedIOError"),
        (state_pb2.PAUSE_REASON_BY_HYPERVISOR, "PausedByHypervisor"),
    ],
)
def test_a_stopped_guest_is_running_and_paused_until_it_resumes(make_vmi: MakeVmi, why: Any, reason: str) -> None:
    paused = status_after(make_vmi(), GuestState(VMI_UID, state_pb2.MACHINE_PHASE_PAUSED, pause_reason=why))
    assert paused["phase"] == "Running"
    assert types(paused)["Paused"] == ("True", reason)
    assert types(paused)["Ready"] == ("False", "GuestNotRunning")
    again = make_vmi(status=paused)
    assert plan(observe(again, GuestState(VMI_UID, state_pb2.MACHINE_PHASE_PAUSED, pause_reason=why)), NOW) == ()
    on = status_after(again, RUNNING)
    assert "Paused" not in types(on)
    assert types(on)["Ready"] == ("True", "")


def test_reports_of_the_agent_are_in_the_status_while_it_is_connected(make_vmi: MakeVmi) -> None:
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


def test_a_card_that_the_guest_has_bridged_is_reported_besides_its_bridge(make_vmi: MakeVmi) -> None:
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
