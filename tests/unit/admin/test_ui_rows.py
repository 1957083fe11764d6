"""What the page of virtadm ui shows of a VM and of an event, and which actions it offers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from virt_admin.ui.events import Event, event_row
from virt_admin.ui.machines import Row, row
from virt_core.vm.virtual_machine import VirtualMachine
from virt_core.vmi.instance import VirtualMachineInstance

META = {"name": "a", "namespace": "default", "creationTimestamp": "2026-01-31T10:00:00Z"}


def vm(state: str = "Running", **status: Any) -> VirtualMachine:
    spec = {"runStrategy": "Always"}
    return VirtualMachine.of({"metadata": META, "spec": spec, "status": {"printableStatus": state, **status}})


def vmi(phase: str = "Running", spec: Any = None, **status: Any) -> VirtualMachineInstance:
    return VirtualMachineInstance.of({"metadata": META, "spec": spec or {}, "status": {"phase": phase, **status}})


def condition(kind: str, status: str = "True", **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, **more}


def of(vm: VirtualMachine | None, vmi: VirtualMachineInstance | None) -> Row:
    found = row(vm, vmi)
    assert found is not None
    return found


MIGRATABLE = condition("LiveMigratable")


@pytest.mark.parametrize(
    ("of_vm", "of_vmi", "actions"),
    [
        (vm("Stopped"), None, ["start"]),
        (vm("Stopped"), vmi("Succeeded"), ["start"]),
        (vm("Starting"), vmi("Scheduling"), ["stop", "restart", "force-stop"]),
        (vm(), vmi(), ["stop", "restart", "pause", "force-stop"]),
        (vm(), vmi(conditions=[MIGRATABLE]), ["stop", "restart", "pause", "migrate", "force-stop"]),
        (vm(), vmi(conditions=[condition("Paused")]), ["stop", "restart", "unpause", "force-stop"]),
        (None, vmi(), ["pause"]),
        (None, vmi("Failed"), []),
    ],
)
def test_offered_is_what_is_possible(
    of_vm: VirtualMachine | None, of_vmi: VirtualMachineInstance | None, actions: list[str]
) -> None:
    assert of(of_vm, of_vmi).actions == actions


def test_a_row_has_what_the_guest_reports() -> None:
    found = of(vm(), vmi(nodeName="node1", interfaces=[{"ipAddress": "10.0.0.1"}, {"name": "x"}]))
    assert (found.state, found.node, found.addresses, found.run_strategy) == (
        "Running",
        "node1",
        ["10.0.0.1"],
        "Always",
    )
    assert found.runs and found.display and found.kind == "VirtualMachine"
    assert row(None, None) is None


def test_a_guest_without_a_vm_has_its_phase() -> None:
    assert of(None, vmi("Scheduling")).state == "Scheduling"
    assert of(None, vmi(conditions=[condition("Paused")])).state == "Paused"
    assert of(None, vmi()).kind == "VirtualMachineInstance"


def test_a_guest_without_graphics_has_no_display() -> None:
    spec = {"domain": {"devices": {"autoattachGraphicsDevice": False}}}
    assert not of(vm(), vmi(spec=spec)).display
    assert of(vm(), vmi(spec={"domain": 5})).display


def test_why_it_is_not_ready_is_shown() -> None:
    refused = condition("Failure", reason="FailedCreate", message="quota")
    assert of(vm(conditions=[refused]), None).message == "FailedCreate: quota"
    unready = condition("Ready", "False", reason="GuestNotRunning", message="not yet")
    assert of(vm(), vmi(conditions=[unready])).message == "GuestNotRunning: not yet"
    assert not of(vm(), vmi(conditions=[condition("Ready")])).message


def test_objects_of_another_release_are_shown_as_far_as_they_are_known() -> None:
    odd = VirtualMachine.of({"metadata": META, "spec": {"runStrategy": 5}, "status": {}})
    assert (of(odd, None).state, of(odd, None).run_strategy) == ("Unknown", "")
    assert of(None, vmi("Fancy", interfaces=5)).addresses == []


@pytest.mark.parametrize(
    ("more", "seen", "count"),
    [
        ({"eventTime": "t1"}, "t1", 1),
        ({"deprecatedLastTimestamp": "t2", "deprecatedCount": 3}, "t2", 3),
        ({"eventTime": "t1", "series": {"count": 4, "lastObservedTime": "t4"}}, "t4", 4),
        ({}, META["creationTimestamp"], 1),
    ],
)
def test_an_event_has_when_it_was_seen_last_and_how_often(more: dict[str, Any], seen: str, count: int) -> None:
    body = {"metadata": META, "type": "Normal", "reason": "Started", "note": "n", "regarding": {"kind": "VM"}, **more}
    found = event_row(msgspec.convert(body, Event))
    assert (found.last_seen, found.count, found.kind) == (seen, count, "VM")
