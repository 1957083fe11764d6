"""status.printableStatus: the one word that `kubectl get vm` shows. Pure; called by status.py.

KubeVirt's words in KubeVirt's order, as far as this release can tell them apart.
"""

from __future__ import annotations

from virt_core.objects.meta import Condition
from virt_core.vm.virtual_machine import StartFailure
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase

from virt_controller.vm.observe import Observed
from virt_controller.vm.run_strategy import restarts_by_itself

TERMINATING = "Terminating"
_BEFORE_RUNNING = (VmiPhase.UNSET, VmiPhase.PENDING, VmiPhase.SCHEDULING, VmiPhase.SCHEDULED)
_PULLING = ("ErrImagePull", "ImagePullBackOff")


def printable_status(observed: Observed, start_failure: StartFailure | None) -> str:
    """The word. `start_failure` is what the status is about to say of failed starts."""
    if observed.vm.metadata.deletion_timestamp is not None:
        return TERMINATING
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
        state = vmi.status.migration_state
        if state is not None and state.active and state.start_timestamp:
            return "Migrating"
        return "Paused" if _is(conditions.get("Paused"), "True") else "Running"
    return _before_running(vmi, conditions)


def _before_running(vmi: VirtualMachineInstance, conditions: dict[str, Condition]) -> str:
    unsynchronized = _false_reason(conditions.get("Synchronized"))
    if unsynchronized == "FailedPvcNotFound":
        return "ErrorPvcNotFound"
    if _false_reason(conditions.get("PodScheduled")) == "Unschedulable":
        return "ErrorUnschedulable"
    if not vmi.status.node_name and _waits_for_binding(vmi):
        return "WaitingForVolumeBinding"
    if unsynchronized in _PULLING:
        return unsynchronized
    return "Starting" if vmi.status.phase in _BEFORE_RUNNING else "Unknown"


def _waits_for_binding(vmi: VirtualMachineInstance) -> bool:
    """Whether a claim of it has no volume yet; it has entries of this kind only before its pod has a node."""
    return any(volume.phase == "Pending" for volume in vmi.status.volume_status)


def _false_reason(condition: Condition | None) -> str:
    return condition.reason if condition is not None and condition.status == "False" else ""


def _is(condition: Condition | None, status: str) -> bool:
    return condition is not None and condition.status == status
