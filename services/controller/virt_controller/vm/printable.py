"""status.printableStatus: the one word that `kubectl get vm` shows. Pure; called by status.py.

KubeVirt's words in KubeVirt's order, as far as this release can tell them apart.
"""

from __future__ import annotations

from virt_core.objects.meta import Condition
from virt_core.vm.virtual_machine import StartFailure
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase

from virt_controller.vm.observe import Observed
from virt_controller.vm.run_strategy import restarts_by_itself

_BEFORE_RUNNING = (VmiPhase.UNSET, VmiPhase.PENDING, VmiPhase.SCHEDULING, VmiPhase.SCHEDULED)
_NOT_SYNCHRONIZED = {
    "FailedPvcNotFound": "ErrorPvcNotFound",
    "ErrImagePull": "ErrImagePull",
    "ImagePullBackOff": "ImagePullBackOff",
}


def printable_status(observed: Observed, start_failure: StartFailure | None) -> str:
    """The word. `start_failure` is what the status is about to say of failed starts."""
    if observed.vm.metadata.deletion_timestamp is not None:
        return "Terminating"
    vmi = observed.own
    if vmi is None or vmi.status.phase.final:
        crashed = start_failure is not None and restarts_by_itself(observed.strategy)
        return "CrashLoopBackOff" if crashed else "Stopped"
    return _of_instance(vmi)


def _of_instance(vmi: VirtualMachineInstance) -> str:
    conditions = {condition.type: condition for condition in vmi.status.conditions}
    if vmi.metadata.deletion_timestamp is not None:
        return "Stopping"
    if vmi.status.phase is VmiPhase.RUNNING:
        return "Paused" if _is(conditions.get("Paused"), "True") else "Running"
    synchronized, scheduled = conditions.get("Synchronized"), conditions.get("PodScheduled")
    if synchronized is not None and synchronized.status == "False" and synchronized.reason in _NOT_SYNCHRONIZED:
        return _NOT_SYNCHRONIZED[synchronized.reason]
    if scheduled is not None and scheduled.status == "False" and scheduled.reason == "Unschedulable":
        return "ErrorUnschedulable"
    return "Starting" if vmi.status.phase in _BEFORE_RUNNING else "Unknown"


def _is(condition: Condition | None, status: str) -> bool:
    return condition is not None and condition.status == status
