"""The clock of a node is set: nothing waits longer than the longest back-off for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from virt_controller.failure import Failure
from virt_controller.replica_set.back_off import seconds_to_replacement
from virt_controller.replica_set.instance import template_hash
from virt_controller.vm.actions import CreateInstance
from virt_controller.vm.observe import Observed
from virt_controller.vm.plan import plan as plan_vm
from virt_controller.vmi.actions import CreatePod
from virt_controller.vmi.observe import PodRefusal
from virt_core.objects.meta import rfc3339
from virt_core.vm.virtual_machine import VirtualMachine

from tests.unit.controller import planning, replica_sets

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_refused_write_is_tried_again_at_once_after_the_clock_was_set_back() -> None:
    assert Failure("FailedCreate", "quota", at=NOW + HOUR).seconds_to_retry(None, NOW) <= 0


def test_a_refused_pod_is_tried_again_at_once_after_the_clock_was_set_back() -> None:
    refusal = PodRefusal("quota", at=NOW + HOUR)
    observed = planning.observed(planning.vmi(), (), planning.EMULATION, NOW, refusal=refusal)
    assert any(isinstance(action, CreatePod) for action in planning.PLANNER.plan(observed))


@pytest.mark.parametrize(("ahead", "starts"), [(timedelta(seconds=290), False), (HOUR, True)])
def test_a_failed_start_waits_for_no_time_that_no_back_off_reaches(ahead: timedelta, starts: bool) -> None:
    failure = {"consecutiveFailCount": 3, "lastFailedVMIUID": "x", "retryAfterTimestamp": rfc3339(NOW + ahead)}
    body = {
        "metadata": {
            "name": "guest",
            "namespace": "ns",
            "uid": "vm-uid",
            "finalizers": ["kubevirt.io/virtualMachineControllerFinalize"],
        },
        "spec": {"runStrategy": "Always", "template": {"spec": planning.SPEC}},
        "status": {"startFailure": failure},
    }
    vm = VirtualMachine.of(body)
    actions = plan_vm(Observed(vm, vm.spec, vm.status, None, NOW, jitter=0.5))
    assert any(isinstance(action, CreateInstance) for action in actions) is starts


def test_the_clock_of_a_node_that_is_an_hour_ahead_delays_no_replacement_by_an_hour() -> None:
    subject = replica_sets.replica_set()
    row = {"kubevirt.io/replica-back-off": f"{template_hash(subject.spec)}.2"}
    finished = replica_sets.vmi("finished", "Failed", ran=0, ended=-3600, annotations=row)
    assert seconds_to_replacement(finished, subject.spec, replica_sets.NOW) <= 300
