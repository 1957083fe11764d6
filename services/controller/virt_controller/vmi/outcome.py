"""Actions that write a computed status and the events that explain it. Pure; called by plan.py, creation.py, ending.py.

An event goes with a change of the status and only with one, so that none is repeated.
"""

from __future__ import annotations

from datetime import datetime

from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.status import status_patch

from virt_controller.pod.problems import Failure
from virt_controller.vmi import status
from virt_controller.vmi.actions import Action, GonePod, PatchVmi, RecordEvent


def patch_status(
    vmi: VirtualMachineInstance, after: status.Status, events: tuple[RecordEvent, ...] = ()
) -> tuple[Action, ...]:
    """A patch if something changes, and only then the events that explain it."""
    operations = status_patch(vmi, after)
    return (PatchVmi(tuple(operations)), *events) if operations else ()


def warnings(problem: Failure | None) -> tuple[RecordEvent, ...]:
    """The event that reports the problem; none without one."""
    return () if problem is None else (RecordEvent(problem.reason, problem.message, warning=True),)


def fail(
    vmi: VirtualMachineInstance,
    failure: Failure,
    now: datetime,
    only_if_pod_is_gone: GonePod | None = None,
    only_if_node_is_gone: str | None = None,
) -> tuple[Action, ...]:
    """The guest is gone and will not come back."""
    operations = status_patch(vmi, status.failed(vmi, failure, now))
    return (PatchVmi(tuple(operations), only_if_pod_is_gone, only_if_node_is_gone), *warnings(failure))
