"""When and where the source's pod passes on what arrives for a guest that has left, and for how long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kubevirt.launcher.v1 import state_pb2
from virt_core.vmi.accepted import RefusedSpec
from virt_handler.machines.actions import AcknowledgeEnd
from virt_handler.machines.guest_state import GuestState
from virt_handler.machines.observe import Observed
from virt_handler.migration import source
from virt_handler.migration.actions import LookAgain
from virt_handler.migration.forwarding import forwarding
from virt_handler.migration.observe import ObservedSide
from virt_handler.migration.report import MigrationReport, Progress
from virt_handler.network.plan import PodNetwork

from tests.unit.handler.demo import VMI_UID, MakeVmi
from tests.unit.handler.planning import NOW, accepted

SOURCE, TARGET = "10.244.1.7", "10.244.2.9"
HANDED_OFF = {"migrationUid": "m1", "sourcePodUID": "pod-a", "targetPodUID": "pod-b"}
STARTED = HANDED_OFF | {"targetNodeAddress": TARGET, "startTimestamp": "2026-01-31T09:59:58Z"}
SUCCEEDED = STARTED | {"completed": True}
FAILED = SUCCEEDED | {"failed": True}
BOTH, ALONE = {"pod-a": "node1", "pod-b": "node2"}, {"pod-a": "node1"}
HERE = [Progress.NOT_STARTED, Progress.COPYING, Progress.ABORTED]
LEFT = [Progress.SWITCHED, Progress.COMMITTED]


def side(
    make_vmi: MakeVmi,
    state: dict[str, Any],
    phase: Progress | None,
    *,
    forwards_to: str | None = None,
    pods: dict[str, str] = BOTH,
    interface: dict[str, Any] | None = None,
) -> ObservedSide:
    devices = {"interfaces": [{"name": "default", **(interface or {"masquerade": {}})}]}
    spec = {"domain": {"devices": devices, "memory": {"guest": "128Mi"}}, "networks": [{"name": "default", "pod": {}}]}
    vmi = make_vmi(status={"phase": "Running", "nodeName": "node1", "migrationState": state}, spec=spec)
    vmi = vmi.with_status({**vmi.raw_status, "activePods": pods})
    guest = GuestState(VMI_UID, state_pb2.MACHINE_PHASE_MIGRATED)
    observed = Observed(vmi, "node1", accepted(vmi), guest=guest, network=PodNetwork(1500, (SOURCE,)))
    assert vmi.status.migration_state is not None
    report = MigrationReport(phase) if phase is not None else None
    return ObservedSide(observed, vmi.status.migration_state, report, forwards_to)


def forwarded(*arguments: Any, **options: Any) -> list[str]:
    """The addresses of the planned actions."""
    actions = forwarding(side(*arguments, **options))
    for action in actions:
        assert f"dnat to {action.target or '10.0.2.2'}\n" in action.plan.ruleset
    return [action.target for action in actions]


@pytest.mark.parametrize("phase", [*HERE, Progress.UNKNOWN, None])
def test_nothing_is_forwarded_while_the_guest_may_be_here(make_vmi: MakeVmi, phase: Progress | None) -> None:
    assert forwarded(make_vmi, STARTED, phase) == []


@pytest.mark.parametrize("phase", LEFT)
@pytest.mark.parametrize("state", [STARTED, FAILED])
def test_a_guest_that_has_switched_is_reached_at_the_target_once_it_is_known(
    make_vmi: MakeVmi, phase: Progress, state: dict[str, Any]
) -> None:
    assert forwarded(make_vmi, state, phase) == [TARGET]
    assert forwarded(make_vmi, state, phase, forwards_to="") == [TARGET]
    assert forwarded(make_vmi, state, phase, forwards_to=TARGET) == []


def test_a_handler_that_starts_after_the_hand_over_forwards_without_a_report(make_vmi: MakeVmi) -> None:
    assert forwarded(make_vmi, SUCCEEDED, None) == [TARGET]
    assert forwarded(make_vmi, FAILED, None) == []


@pytest.mark.parametrize("forwards_to", [None, TARGET])
def test_nothing_goes_to_the_address_of_a_pod_that_has_ended(make_vmi: MakeVmi, forwards_to: str | None) -> None:
    assert forwarded(make_vmi, STARTED, Progress.SWITCHED, forwards_to=forwards_to, pods=ALONE) == [""]
    assert forwarded(make_vmi, STARTED, Progress.SWITCHED, forwards_to="", pods=ALONE) == []


@pytest.mark.parametrize("phase", HERE)
def test_a_guest_that_is_here_after_all_is_reached_again(make_vmi: MakeVmi, phase: Progress) -> None:
    assert forwarded(make_vmi, STARTED, phase, forwards_to=TARGET) == [""]


def test_a_lost_report_changes_nothing(make_vmi: MakeVmi) -> None:
    for phase in (None, Progress.UNKNOWN):
        assert forwarded(make_vmi, STARTED, phase, forwards_to=TARGET) == []


@pytest.mark.parametrize("address", ["", "fd00::9", "10.0.0.1; drop", SOURCE])
def test_only_the_ipv4_address_of_another_pod_is_forwarded_to(make_vmi: MakeVmi, address: str) -> None:
    state = STARTED | {"targetNodeAddress": address}
    assert forwarded(make_vmi, state, Progress.SWITCHED, forwards_to="") == []


def test_nothing_is_planned_for_a_machine_that_is_refused_or_has_the_pods_address(make_vmi: MakeVmi) -> None:
    assert forwarded(make_vmi, STARTED, Progress.SWITCHED, interface={"bridge": {}}) == []
    left = side(make_vmi, STARTED, Progress.SWITCHED)
    assert forwarding(replace(left, machine=replace(left.machine, spec=RefusedSpec(())))) == ()


def test_the_sources_launcher_ends_two_seconds_after_the_hand_over(make_vmi: MakeVmi) -> None:
    left = side(make_vmi, SUCCEEDED, None, forwards_to=TARGET)
    for seconds, expected in (
        (0.0, LookAgain(2.0)),
        (1.5, LookAgain(0.5)),
        (2.0, AcknowledgeEnd(VMI_UID, state_pb2.MACHINE_END_MIGRATED)),
    ):
        assert source.plan(replace(left, seconds_left=seconds), NOW) == (expected,)
