"""Start, stop and restart that a VirtualMachine's state does not allow are refused in KubeVirt's words."""

from __future__ import annotations

from typing import Any

import pytest
from virt_api.errors import Conflict
from virt_api.subresources.lifecycle_requests import VERBS, Instance, LifecycleOptions
from virt_core.vm.virtual_machine import VirtualMachine

START, STOP = {"action": "Start"}, {"action": "Stop", "uid": "u"}
RUNNING = "VM is already running"
NOT_RUNNING = "VM is not running"


def vm(strategy: str, *requests: dict[str, Any]) -> VirtualMachine:
    return VirtualMachine.of(
        {
            "metadata": {"name": "vm", "namespace": "ns", "uid": "1", "resourceVersion": "1"},
            "spec": {"runStrategy": strategy, "template": {"spec": {}}},
            "status": {"stateChangeRequests": list(requests)},
        }
    )


def guest(phase: str | None) -> Instance | None:
    return None if phase is None else Instance("u", phase, 30)


@pytest.mark.parametrize(
    ("verb", "strategy", "phase", "words"),
    [
        *[
            ("start", strategy, "Running", RUNNING)
            for strategy in ("Always", "Halted", "Manual", "RerunOnFailure", "Once")
        ],
        *[("start", "Manual", phase, RUNNING) for phase in ("Pending", "Scheduling", "Scheduled")],
        *[
            ("start", strategy, None, f"{strategy} does not support manual start requests")
            for strategy in ("Always", "Once")
        ],
        ("start", "Once", "Succeeded", "Once does not support manual start requests"),
        ("start", "RerunOnFailure", "Failed", "RerunOnFailure does not support starting VM from failed state"),
        *[("stop", strategy, None, NOT_RUNNING) for strategy in ("Manual", "RerunOnFailure", "Halted")],
        *[("stop", strategy, "Succeeded", NOT_RUNNING) for strategy in ("Manual", "RerunOnFailure", "Halted")],
        ("stop", "Halted", "Running", NOT_RUNNING),
        *[("restart", s, "Running", f"{s} does not support manual restart requests") for s in ("Halted", "Once")],
        *[("restart", strategy, None, "VMI does not exist") for strategy in ("Always", "Manual", "RerunOnFailure")],
    ],
)
def test_a_state_that_does_not_allow_it_is_a_conflict(verb: str, strategy: str, phase: str | None, words: str) -> None:
    with pytest.raises(Conflict) as refused:
        VERBS[verb](vm(strategy), guest(phase), LifecycleOptions())
    assert refused.value.message == f'Operation cannot be fulfilled on virtualmachine.kubevirt.io "vm": {words}'
    assert refused.value.code == 409


@pytest.mark.parametrize("grace_period", [30, 60])
def test_a_halted_one_is_not_stopped_again_with_no_shorter_grace_period(grace_period: int) -> None:
    with pytest.raises(Conflict, match=NOT_RUNNING):
        VERBS["stop"](vm("Halted"), guest("Running"), LifecycleOptions(grace_period=grace_period))


@pytest.mark.parametrize("waiting", [(START,), (STOP, START)])
@pytest.mark.parametrize(("verb", "phase"), [("start", None), ("stop", "Running"), ("restart", "Running")])
def test_a_request_while_another_waits_is_a_conflict(
    verb: str, phase: str | None, waiting: tuple[dict[str, Any]]
) -> None:
    with pytest.raises(Conflict, match="unable to complete request: stop/start already underway"):
        VERBS[verb](vm("Manual", *waiting), guest(phase), LifecycleOptions())


@pytest.mark.parametrize("strategy", ["Always", "Once"])
def test_one_that_runs_always_is_stopped_although_it_has_no_guest(strategy: str) -> None:
    assert VERBS["stop"](vm(strategy), None, LifecycleOptions()).spec
