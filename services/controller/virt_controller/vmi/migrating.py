"""A VirtualMachineInstance with two pods, during a migration and after it. Pure; called by plan.py.

migration/ hands the guest off, the handlers move it. Here the ends of pods are handled, which no handler sees, and the
VirtualMachineInstance is put in order when the migration is over. A pod that is gone leaves activePods: to the target's
handler that proves that no guest runs at the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from virt_core.conventions import labels, migration
from virt_core.objects.meta import rfc3339
from virt_core.objects.patch import Operation, guarded_patch, pointer
from virt_core.vmi.migration_state import MigrationState, failure, without_expectation
from virt_core.vmi.status import status_patch

from virt_controller.actions import LookAgain
from virt_controller.pod.observed import LauncherPod
from virt_controller.pod.problems import Failure, how_it_ended
from virt_controller.pod.template import LAUNCHER_IMAGE
from virt_controller.vmi.actions import Action, DeletePod, GonePod, PatchPod, PatchVmi
from virt_controller.vmi.observe import Observed
from virt_controller.vmi.outcome import fail

_PATIENCE = 10.0  # seconds in which the handler of a pod without a guest ends it, before the pod is deleted


def migrate(observed: Observed) -> tuple[Action, ...] | None:
    """What the migration demands before anything else; None: the guest's pod is looked at as always."""
    state = observed.vmi.status.migration_state
    if state is None or not state.migration_uid:
        return None
    if state.active:
        return _under_way(observed, state)
    return _over(observed, state)


def _under_way(observed: Observed, state: MigrationState) -> tuple[Action, ...] | None:
    """A pod that is gone leaves activePods, unless it is the last one: then the guest has ended."""
    active = observed.vmi.status.active_pods
    source, target = state.source_pod_uid in active, state.target_pod_uid in active
    if source and target:
        for uid, name in ((state.source_pod_uid, state.source_pod), (state.target_pod_uid, state.target_pod)):
            if (gone := _gone(observed, uid, name)) is not None:
                return _left(observed, state, uid, gone)
    if target and not source and (pod := _pod(observed, state.target_pod_uid)) is not None:
        lost = observed.trouble is not None and observed.trouble.lost
        return None if pod.ended or lost else ()  # the target's handler says whether the guest has arrived
    return None


def _left(observed: Observed, state: MigrationState, uid: str, gone: _Gone) -> tuple[Action, ...]:
    vmi = observed.vmi
    after: dict[str, Any] = {**vmi.raw_status, "activePods": _without(vmi.status.active_pods, uid)}
    if uid == state.target_pod_uid and not state.start_timestamp:
        # Nothing has been copied yet. Later the source's launcher knows how far the guest was.
        after["migrationState"] = {**vmi.raw_status["migrationState"], **failure(state, gone.reason, observed.now)}
    operations = status_patch(vmi, after)
    return (PatchVmi(tuple(operations), gone.unless, gone.unless_node),)


def _over(observed: Observed, state: MigrationState) -> tuple[Action, ...] | None:
    """The pod without the guest ends; then labels and activePods show the one with it alone."""
    vmi = observed.vmi
    active = vmi.status.active_pods
    if state.failed and state.source_pod_uid not in active and state.target_pod_uid in active:
        reason = state.failure_reason or "it had not arrived at the target"
        message = f"launcher pod {state.source_pod} ended during a migration, and the guest with it: {reason}"
        return fail(vmi, Failure("PodEnded", message), observed.now)
    if state.succeeded and state.target_pod_uid not in active:
        # Its handler reported the arrival when its pod had been counted out. The source does not run the guest.
        message = f"launcher pod {state.target_pod} ended right after the guest had migrated to it"
        return fail(vmi, Failure("PodEnded", message), observed.now)
    name, uid = (
        (state.source_pod, state.source_pod_uid) if state.succeeded else (state.target_pod, state.target_pod_uid)
    )
    ready = _gates(observed, state) if state.succeeded else ()
    if uid not in active:
        unsettled = migration.TARGET_NODE_NAME in vmi.metadata.labels
        return (*ready, PatchVmi(_settled(observed, state, uid))) if unsettled else ready or None
    gone = _gone(observed, uid, name)
    if gone is not None:
        return (*ready, PatchVmi(_settled(observed, state, uid), gone.unless, gone.unless_node))
    pod = _pod(observed, uid)
    if pod is None or pod.metadata.deletion_timestamp is not None:
        return ready or None
    patience = _PATIENCE if state.target_node_address else 0.0  # without it there is nothing that a handler ends
    wait = patience - observed.migration_over  # endTimestamp is by the clock of a node
    return (*ready, LookAgain(wait) if wait > 0 else DeletePod(name, uid, without_guest=True))


def _settled(observed: Observed, state: MigrationState, uid: str) -> tuple[Operation, ...]:
    """The pod without the guest leaves activePods; the labels say where the guest is."""
    vmi, meta = observed.vmi, observed.vmi.metadata
    after: dict[str, Any] = {**vmi.raw_status, "activePods": _without(vmi.status.active_pods, uid)}
    kept = {key: value for key, value in meta.labels.items() if key != migration.TARGET_NODE_NAME}
    if state.succeeded:
        kept[labels.NODE_NAME] = state.target_node
        pod = _pod(observed, state.target_pod_uid)
        if pod is not None:
            after["launcherContainerImageVersion"] = pod.metadata.annotations.get(LAUNCHER_IMAGE, "")
    if state.abort_requested and not state.target_node_address:
        del after["migrationState"]  # as in KubeVirt, a migration that is canceled so early leaves nothing
    else:
        after["migrationState"] = without_expectation(vmi.raw_status["migrationState"])
    before = {"labels": meta.labels} if meta.labels else {}
    labelled = guarded_patch(meta, before, {"labels": kept} if kept or before else {}, "metadata")
    return (*labelled, *status_patch(vmi, after))


def _gates(observed: Observed, state: MigrationState) -> tuple[Action, ...]:
    """The readiness gate of the pod with the guest is true: Services send to it. That of the pod that the guest has
    left is false, if it has one because the guest had migrated to it, too; but not before the kubelet says that the
    other is ready. A Service without a ready pod would refuse clients, and for a second: kube-proxy does not follow two
    changes within one. Meanwhile the pod that the guest has left passes them on.
    """
    target, arrived = _pod(observed, state.target_pod_uid), _as_in_go(state.target_node_domain_ready_timestamp)
    opened = _gate(target, "True", observed, arrived)
    if target is not None and not target.ready:
        return opened
    return (*opened, *_gate(_pod(observed, state.source_pod_uid), "False", observed))


def _gate(pod: LauncherPod | None, wanted: str, observed: Observed, arrived: str = "") -> tuple[Action, ...]:
    if pod is None or pod.ended or migration.JOB_UID not in pod.metadata.labels:
        return ()
    at = next((n for n, found in enumerate(pod.status.conditions) if found.type == migration.UNPAUSED_GATE), None)
    moment = rfc3339(observed.now)
    condition = {"type": migration.UNPAUSED_GATE, "status": wanted, "lastTransitionTime": moment}
    guard = {"op": "test", "path": "/metadata/uid", "value": pod.metadata.uid}
    if at is None:
        version = {"op": "test", "path": "/metadata/resourceVersion", "value": pod.metadata.resource_version}
        added = {"op": "add", "path": "/status/conditions/-", "value": condition}
        operations = (guard, version, *_annotated(pod, arrived), added)
        return (PatchPod(pod.metadata.name, operations, subresource="status"),)
    if pod.status.conditions[at].status == wanted:
        return ()
    path = pointer("status", "conditions", str(at))
    same = {"op": "test", "path": f"{path}/type", "value": migration.UNPAUSED_GATE}
    replaced = {"op": "replace", "path": path, "value": condition}
    return (PatchPod(pod.metadata.name, (guard, same, replaced), subresource="status"),)


def _annotated(pod: LauncherPod, arrived: str) -> tuple[Operation, ...]:
    """For the network's plug-in; in the same request, because the status of a pod is written with its annotations."""
    if not arrived or not pod.metadata.annotations:
        return ()
    return ({"op": "add", "path": pointer("metadata", "annotations", migration.TARGET_READY), "value": arrived},)


def _as_in_go(moment: str | None) -> str:
    """The time in the format in which KubeVirt writes the annotation; empty if it is none."""
    try:
        return datetime.fromisoformat(moment or "").astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
    except ValueError:
        return ""


@dataclass(frozen=True, slots=True)
class _Gone:
    """That a pod runs nothing any more: why, and what the API server has to confirm, for a cache may be behind."""

    reason: str
    unless: GonePod | None = None
    unless_node: str | None = None


def _gone(observed: Observed, uid: str, name: str) -> _Gone | None:
    pod = _pod(observed, uid)
    if pod is not None:
        trouble = observed.troubles.get(pod.spec.node_name)
        if pod.ended:
            return _Gone(how_it_ended(pod).message)
        if trouble is not None and trouble.lost:
            return _Gone(trouble.message, unless_node=pod.spec.node_name if trouble.deleted else None)
        return None
    removed = next((found for found in observed.removed if found.metadata.uid == uid), None)
    if removed is not None:
        return _Gone(how_it_ended(removed).message)
    return _Gone(f"launcher pod {name} is gone", unless=GonePod((name,), frozenset((uid,))))


def _pod(observed: Observed, uid: str) -> LauncherPod | None:
    return next((pod for pod in observed.pods if pod.metadata.uid == uid), None)


def _without(active: dict[str, str], uid: str) -> dict[str, str]:
    return {pod: node for pod, node in active.items() if pod != uid}
