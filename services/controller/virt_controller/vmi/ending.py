"""The end of a VMI that no handler reports: it is deleted, its pod is gone, its node is lost. Pure.

Called by plan.py. The phase Succeeded or Failed of a deleted VMI is written before its finalizer is removed, so that
watchers see how the guest ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec
from virt_core.conventions import events, labels
from virt_core.conventions.launcher_pod import GUEST_SHUTDOWN
from virt_core.objects.patch import finalizers_patch
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase
from virt_core.vmi.status import CONTROLLERS_REASONS, ready_condition

from virt_controller.actions import RecordEvent
from virt_controller.node.health import NODE_DELETED, Trouble
from virt_controller.pod.observed import LauncherPod
from virt_controller.pod.problems import Failure, how_it_ended, shut_down
from virt_controller.pod.template import SHUTDOWN_MARGIN
from virt_controller.vmi import status
from virt_controller.vmi.actions import Action, DeletePod, GonePod, PatchVmi
from virt_controller.vmi.observe import Observed, active_names, current_pod
from virt_controller.vmi.outcome import fail, patch_status, warnings

# Until the launcher has written the end and its handler has acknowledged it: 1 s at most (virt_launcher/shutdown.py).
_RECORD_SECONDS = 2


def delete(observed: Observed) -> tuple[Action, ...]:
    """The VMI is deleted: delete its pods, then record its end, then remove its finalizer."""
    vmi = observed.vmi
    undecided = bool(vmi.status.active_pods) and not vmi.status.phase.final and vmi.status.phase != VmiPhase.UNKNOWN
    if undecided and (ended := _ended(observed)) is not None:
        return _record_end(observed, ended)
    if deletions := tuple(_deletions(observed)):
        is_first = all(pod.metadata.deletion_timestamp is None for pod in observed.pods)
        return (*deletions, *([RecordEvent("Deleted", "Signaled Deletion")] if is_first else []))
    if observed.pods:
        return _explain_waiting(observed)
    if undecided:
        return vanish(observed)
    if labels.VMI_FINALIZER not in vmi.metadata.finalizers:
        return ()
    done = {labels.VMI_FINALIZER, *([labels.VM_FINALIZER] if observed.vm_goes else [])}
    kept = [finalizer for finalizer in vmi.metadata.finalizers if finalizer not in done]
    operations = finalizers_patch(vmi.metadata, kept)
    return (PatchVmi(tuple(operations), only_if_pod_is_gone=None if _all_removed(observed) else _gone_pod(vmi)),)


def _deletions(observed: Observed) -> Iterator[DeletePod]:
    """Of each pod that stays, and of each whose grace period has become shorter since it was deleted."""
    for pod in observed.pods:
        grace = _shorter_grace(observed.vmi, pod)
        if pod.metadata.deletion_timestamp is None or grace is not None:
            yield DeletePod(pod.metadata.name, pod.metadata.uid, grace)


class _Spec(msgspec.Struct, rename="camel"):
    termination_grace_period_seconds: int | None = None


def _shorter_grace(vmi: VirtualMachineInstance, pod: LauncherPod) -> int | None:
    """Seconds, if the VMI's grace period was shortened after the pod was made (`virtctl stop --force`); else None.

    At least 1: with 0 the API server forgets the pod while it still runs. After other numbers the launcher has time
    to record the end.
    """
    try:
        seconds = msgspec.json.decode(vmi.raw_spec, type=_Spec).termination_grace_period_seconds
    except msgspec.DecodeError:
        return None
    left = pod.metadata.deletion_grace_period_seconds
    own = pod.spec.termination_grace_period_seconds if left is None else left
    if seconds is None or own is None or own <= seconds + SHUTDOWN_MARGIN:
        return None
    return seconds + _RECORD_SECONDS if seconds else 1


def vanish(observed: Observed) -> tuple[Action, ...]:
    """All pods of activePods are gone."""
    vmi = observed.vmi
    if _all_removed(observed) and (pod := current_pod(vmi, observed.removed)) is not None:
        return fail(vmi, how_it_ended(pod, observed.pod_events), observed.now)
    failure = _gone(vmi, observed.pods)
    return fail(vmi, failure, observed.now, only_if_pod_is_gone=_gone_pod(vmi))


def lose(vmi: VirtualMachineInstance, pod: LauncherPod, trouble: Trouble, now: datetime) -> tuple[Action, ...]:
    """The node will not come back. If it does, its kubelet ends the pod, so that a guest never runs twice."""
    deleted = pod.spec.node_name if trouble.reason == NODE_DELETED else None
    failed = fail(vmi, Failure(trouble.reason, trouble.message), now, only_if_node_is_gone=deleted)
    deletion = () if pod.metadata.deletion_timestamp else (DeletePod(pod.metadata.name, pod.metadata.uid),)
    return (*failed, *deletion)


def _ended(observed: Observed) -> LauncherPod | None:
    """The guest's pod, if it has ended: its current or its last known version. During a migration both pods have to
    end: the guest may run in either."""
    vmi = observed.vmi
    active = vmi.status.active_pods
    ended = {pod.metadata.uid: pod for pod in (*observed.removed, *observed.pods) if pod.ended}
    return current_pod(vmi, ended.values()) if active.keys() <= ended.keys() else None


def _record_end(observed: Observed, pod: LauncherPod) -> tuple[Action, ...]:
    vmi, now = observed.vmi, observed.now
    if not shut_down(pod):
        return fail(vmi, how_it_ended(pod, observed.pod_events), now)
    after = status.ended(vmi, VmiPhase.SUCCEEDED, Failure(GUEST_SHUTDOWN, "the guest has shut down"), now)
    return patch_status(vmi, after, (RecordEvent(events.STOPPED, events.SHUT_DOWN),))


def _all_removed(observed: Observed) -> bool:
    """Whether the cache saw the end and the removal of every pod in activePods, so that no request is needed."""
    active = observed.vmi.status.active_pods
    return bool(active) and active.keys() == {pod.metadata.uid for pod in observed.removed}


def _explain_waiting(observed: Observed) -> tuple[Action, ...]:
    """Report that the deletion waits for a node in trouble."""
    vmi, pod, trouble = observed.vmi, observed.pod, observed.trouble
    if pod is None or trouble is None or vmi.status.phase.final:
        return ()
    after = status.with_readiness(vmi, pod, trouble, observed.now)
    return patch_status(vmi, after, warnings(Failure(trouble.reason, trouble.message)))


def _gone_pod(vmi: VirtualMachineInstance) -> GonePod:
    return GonePod(active_names(vmi), frozenset(vmi.status.active_pods))


def _gone(vmi: VirtualMachineInstance, others: tuple[LauncherPod, ...]) -> Failure:
    """The reason for a pod that disappeared without a report by its handler, from earlier conditions."""
    ready, message = ready_condition(vmi), f"launcher pod {' or '.join(active_names(vmi))} is gone"
    if ready is not None and ready.reason in CONTROLLERS_REASONS:
        message += f"; before that, {ready.message}"
    for pod in others:
        message += f"; pod {pod.metadata.name} (UID {pod.metadata.uid}) is another one, and is left alone"
    return Failure("PodGone", message)
