"""Machines that cannot be started: the condition and the event that name the reason."""

from __future__ import annotations

import pytest
from kubevirt.launcher.v1 import state_pb2
from virt_handler.machines.actions import (
    PatchStatus,
    PrepareNetwork,
    RecordEvent,
    StartMachine,
)
from virt_handler.machines.guest_state import GuestState
from virt_handler.machines.observe import LauncherRefusal, Observed
from virt_handler.machines.plan import plan
from virt_handler.network.plan import PodNetwork, Route

from tests.unit.handler.demo import NODE, VMI_UID, MakeVmi
from tests.unit.handler.planning import (
    ABSENT,
    NOW,
    RUNNING,
    accepted,
    apply,
    observe,
    status_after,
)


def test_a_refusal_is_planned_until_the_object_shows_it_and_the_start_is_not_repeated(make_vmi: MakeVmi) -> None:
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
def test_a_disk_that_cannot_be_prepared_is_reported_once_with_the_users_claim(make_vmi: MakeVmi, words: str) -> None:
    volumes = [{"name": "root", "persistentVolumeClaim": {"claimName": "shop-db"}}]
    failed = GuestState(
        VMI_UID, state_pb2.MACHINE_PHASE_ENDED, state_pb2.MACHINE_END_START_FAILED, words, failed_disk="root"
    )
    status = status_after(make_vmi(spec={"volumes": volumes}), failed)
    (ready,) = [condition for condition in status["conditions"] if condition["type"] == "Ready"]
    assert ready["message"] == "disk root (PersistentVolumeClaim shop-db): is corrupt"


def test_a_pod_s_paths_reach_neither_condition_nor_event(make_vmi: MakeVmi) -> None:
    volumes = [{"name": "seed", "cloudInitNoCloud": {"secretRef": {"name": "shop-init"}}}]
    message = "lacks a document: the Secret at /var/run/kubevirt/volumes/seed/userdata has no key userdata"
    failed = GuestState(
        VMI_UID, state_pb2.MACHINE_PHASE_ENDED, state_pb2.MACHINE_END_START_FAILED, message, failed_disk="seed"
    )
    write, event = plan(observe(make_vmi(spec={"volumes": volumes}), failed), NOW)
    assert isinstance(write, PatchStatus) and isinstance(event, RecordEvent)
    words = "disk seed (cloud-init from Secret shop-init): lacks a document: Secret shop-init has no key userdata"
    assert words in str(write.operations) and words in event.message
    assert "/var/run" not in str(write.operations) + event.message


def test_a_pod_with_too_many_routes_is_refused_by_condition_and_event(
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
    assert plan(Observed(again, NODE, accepted(again), guest=ABSENT, network=pod), NOW) == ()  # reported once
    few = PodNetwork(1500, ("10.244.0.5",), 24, "0a:58:0a:f4:00:05", routes[:2])
    network, start = plan(Observed(again, NODE, accepted(again), guest=ABSENT, network=few), NOW)
    assert isinstance(network, PrepareNetwork) and isinstance(start, StartMachine)
