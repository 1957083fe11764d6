"""The required status of a guest for each subresource, with KubeVirt's messages."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from virt_api.errors import ApiError, BadRequest, Conflict, Forbidden
from virt_api.subresources.commands import require_possible
from virt_api.subresources.guest import Guest
from virt_core.conventions.subresources import COMMANDS


def guest(phase: str = "Running", *conditions: str, spec: Any = None, address: str = "10.244.0.7") -> Guest:
    status = {
        "phase": phase,
        "nodeName": "node1",
        "conditions": [{"type": kind, "status": "True"} for kind in conditions],
        "interfaces": [{"name": "default", "ipAddress": address}],
    }
    return msgspec.convert({"metadata": {"name": "vm"}, "spec": spec, "status": status}, Guest)


@pytest.mark.parametrize(
    ("phase", "attached", "error"),
    [
        ("", True, BadRequest),  # virtctl waits on this code and gives up on all others
        ("Scheduled", True, BadRequest),
        ("Running", False, BadRequest),
        ("Failed", True, Conflict),
        ("Succeeded", True, Conflict),
    ],
)
@pytest.mark.parametrize("switch", ["autoattachSerialConsole", "autoattachGraphicsDevice"])
def test_no_stream_without_a_running_guest_that_has_the_device(
    phase: str, attached: bool, error: type[ApiError], switch: str
) -> None:
    spec = {"domain": {"devices": {switch: attached}}}
    with pytest.raises(error):
        guest(phase, spec=spec).require_stream("device", switch, {})


def test_a_running_guest_has_console_and_display_unless_disabled() -> None:
    specs: tuple[Any, ...] = (None, {"domain": {"devices": {}}}, {"domain": "nonsense"})
    for spec in specs:
        guest(spec=spec).require_stream("display", "autoattachGraphicsDevice", {})


@pytest.mark.parametrize("subresource", COMMANDS)
def test_nothing_is_commanded_that_does_not_run(subresource: str) -> None:
    words = "VM is not running" if subresource in ("pause", "freeze") else "VMI is not running"
    with pytest.raises(Conflict) as refused:
        require_possible(guest("Scheduled"), subresource)
    assert refused.value.message == (
        f'Operation cannot be fulfilled on virtualmachineinstance.kubevirt.io "vm": {words}'
    )
    assert refused.value.details == {"group": "kubevirt.io", "kind": "virtualmachineinstance", "name": "vm"}


@pytest.mark.parametrize(
    ("subresource", "conditions", "spec", "words"),
    [
        ("pause", ["Paused"], {}, "VMI is already paused"),
        ("unpause", [], {}, "VMI is not paused"),
        ("softreboot", ["Paused", "AgentConnected"], {}, "VMI is paused"),
        ("softreboot", [], {"domain": {"features": {"acpi": {"enabled": False}}}}, "neither have the agent"),
        ("freeze", [], {}, "VMI does not have guest agent connected"),
        ("unfreeze", [], {}, "VMI does not have guest agent connected"),
    ],
)
def test_a_state_that_does_not_allow_it_is_a_conflict_in_kubevirts_words(
    subresource: str, conditions: list[str], spec: Any, words: str
) -> None:
    with pytest.raises(Conflict, match=words):
        require_possible(guest("Running", *conditions, spec=spec), subresource)


@pytest.mark.parametrize(
    ("subresource", "conditions"),
    [
        ("pause", []),
        ("unpause", ["Paused"]),
        ("reset", ["Paused"]),
        ("softreboot", []),
        ("freeze", ["AgentConnected"]),
        ("unfreeze", ["AgentConnected"]),
    ],
)
def test_a_state_that_allows_it_passes(subresource: str, conditions: list[str]) -> None:
    require_possible(guest("Running", *conditions), subresource)


def test_a_guest_with_a_liveness_probe_is_not_paused() -> None:
    with pytest.raises(Forbidden, match="Pausing VMIs with LivenessProbe is currently not supported"):
        require_possible(guest(spec={"livenessProbe": {"tcpSocket": {"port": 22}}}), "pause")


def test_a_port_is_forwarded_to_the_address_that_the_status_has() -> None:
    assert guest().require_address({}) == "10.244.0.7"
    assert guest(address="fd10::7").require_address({}) == "fd10::7"


@pytest.mark.parametrize(
    ("target", "error"),
    [
        (guest("Scheduling"), BadRequest),
        (guest("Running", "Paused"), Conflict),
        (guest(address=""), Conflict),
        (guest(address="kubernetes.default.svc"), Conflict),  # only addresses: nobody is looked up
    ],
    ids=["phase", "paused", "none", "a name"],
)
def test_there_is_no_port_of_a_guest_without_an_address(target: Guest, error: type[ApiError]) -> None:
    with pytest.raises(error):
        target.require_address({})
