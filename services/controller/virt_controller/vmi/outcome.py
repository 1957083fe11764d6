"""Actions that write a computed status and the events that explain it. Pure; called by plan.py, creation.py, ending.py.

An event is recorded only together with a change of the status, so that it is not repeated.
"""

from __future__ import annotations

from datetime import datetime

from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.status import status_patch

from virt_controller.actions import RecordEvent
from virt_controller.pod.problems import Failure
from virt_controller.vmi import status
from virt_controller.vmi.actions import Action, GonePod, PatchVmi


def patch_status(
    vmi: VirtualMachineInstance, after: status.Status, events: tuple[RecordEvent, ...] = ()
) -> tuple[Action, ...]:
    """A patch and the events that explain it; empty if the status does not change."""
    operations = status_patch(vmi, after)
    return (PatchVmi(tuple(operations)), *events) if operations else ()


def warnings(problem: Failure | None) -> tuple[RecordEvent, ...]:
    """The event that reports the problem; empty without a problem."""
    return () if problem is None else (RecordEvent(problem.reason, problem.message, warning=True),)


def fail(
    vmi: VirtualMachineInstance,
    failure: Failure,
    now: datetime,
    only_if_pod_is_gone: GonePod | None = None,
    only_if_node_is_gone: str | None = None,
) -> tuple[Action, ...]:
    """Write the phase Failed: the guest is gone for good."""
    operations = status_patch(vmi, status.failed(vmi, failure, now))
    return (PatchVmi(tuple(operations), only_if_pod_is_gone, only_if_node_is_gone), *warnings(failure))
