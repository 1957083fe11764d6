"""What is reported about a guest that is to leave its node: conditions and annotations. Pure; called by plan.py.

It starts from what is stored, so that what others report stays as it is.
"""

from __future__ import annotations

from typing import Any

import msgspec
from virt_core.conventions.conditions import EVACUATION_BLOCKED, EVICTION_REQUESTED
from virt_core.conventions.migration import CORDONED_NODE, EVACUATION, EVICTION_IN_PROGRESS, EVICTION_SOURCE
from virt_core.migration.migration import MigrationPhase
from virt_core.objects.meta import Condition, with_conditions
from virt_core.objects.patch import Operation, guarded_patch
from virt_core.vmi.eviction import is_migratable, migrates_on_eviction, why_not_migratable
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase

from virt_controller.evacuation.observe import Observed
from virt_controller.pod.observed import LauncherPod

FAILED_CREATE, NOT_MIGRATABLE, MIGRATION_FAILED = "FailedCreate", "NotLiveMigratable", "MigrationFailed"
_OWN = (EVICTION_REQUESTED, EVACUATION_BLOCKED)
_MARK = "evacuationNodeName"
_REQUESTED = Condition(EVICTION_REQUESTED, "True", EVICTION_REQUESTED, "VMI is marked for eviction")


def vmi_patch(observed: Observed, *, marked: bool) -> list[Operation]:
    """The guarded patch of the VirtualMachineInstance; empty: nothing changes. `marked`: the mark stays."""
    vmi = observed.vmi
    before, after = vmi.raw_status, dict(vmi.raw_status)
    if not marked:
        after.pop(_MARK, None)
    if conditions := _conditions(observed, marked=marked):
        after["conditions"] = conditions
    else:
        after.pop("conditions", None)
    status = guarded_patch(vmi.metadata, before, after, "status")
    return [*status, *_annotations_patch(vmi, _annotations(observed, marked=marked))]


def blocked(observed: Observed) -> Condition | None:
    """Why the guest cannot leave its node; None: it leaves, or nothing has gone wrong yet."""
    vmi, node = observed.vmi, observed.vmi.status.node_name
    if not (observed.marked or observed.empties) or not migrates_on_eviction(vmi):
        return None
    if (failure := observed.failure) is not None:
        return Condition(EVACUATION_BLOCKED, "True", failure.reason, failure.message)
    if vmi.status.phase is VmiPhase.RUNNING and not is_migratable(vmi) and not observed.unfinished:
        message = f"the guest cannot leave node {node}: {why_not_migratable(vmi)}"
        return Condition(EVACUATION_BLOCKED, "True", NOT_MIGRATABLE, message)
    finished = [migration for migration in observed.migrations if migration.status.phase.final]
    last = finished[-1] if finished else None
    failed = last is not None and last.status.phase is MigrationPhase.FAILED
    if last is None or not failed or last.metadata.annotations.get(EVACUATION) != node:
        return None
    message = f"migration {last.metadata.name} from node {node} failed: {last.status.failure_reason}"
    return Condition(EVACUATION_BLOCKED, "True", MIGRATION_FAILED, message)


def is_reported(vmi: VirtualMachineInstance) -> bool:
    """Whether anything of this controller is stored in the VirtualMachineInstance."""
    reported = any(condition.type in _OWN for condition in vmi.status.conditions)
    return reported or CORDONED_NODE in vmi.metadata.annotations


def pod_patch(observed: Observed, pod: LauncherPod, *, marked: bool) -> list[Operation]:
    """The guarded patch of the guest's pod, which the descheduler counts as evicted while its guest leaves."""
    meta = pod.metadata
    before = {key: value for key, value in meta.annotations.items() if key == EVICTION_IN_PROGRESS}
    leaves = marked and pod.spec.node_name == observed.vmi.status.node_name
    after = {EVICTION_IN_PROGRESS: "true"} if leaves else {}
    return guarded_patch(meta, before, after, "metadata", "annotations")


def _conditions(observed: Observed, *, marked: bool) -> list[dict[str, Any]]:
    """All conditions, as they are stored if those of this controller say the same as before."""
    found = blocked(observed) if marked or observed.empties else None
    own = [*([_REQUESTED] if marked else []), *([found] if found is not None else [])]
    current = observed.vmi.status.conditions
    if {_said(condition) for condition in current if condition.type in _OWN} == {_said(condition) for condition in own}:
        return list(observed.vmi.raw_status.get("conditions", []))
    wanted = {condition.type for condition in own}
    kept = [condition for condition in current if condition.type not in _OWN or condition.type in wanted]
    built: list[dict[str, Any]] = msgspec.to_builtins(with_conditions(kept, own, observed.now))
    return built


def _said(condition: Condition) -> tuple[str, str, str, str]:
    return condition.type, condition.status, condition.reason, condition.message


def _annotations(observed: Observed, *, marked: bool) -> dict[str, str]:
    """Without a mark neither; with it, the node while it is unschedulable, and once it was."""
    if not marked:
        return {}
    found = _stored_annotations(observed.vmi)
    if observed.cordoned:
        found[CORDONED_NODE] = observed.vmi.status.node_name
    return found


def _annotations_patch(vmi: VirtualMachineInstance, after: dict[str, str]) -> list[Operation]:
    meta = vmi.metadata
    if not meta.annotations:
        return guarded_patch(meta, {}, {"annotations": after} if after else {}, "metadata")
    return guarded_patch(meta, _stored_annotations(vmi), after, "metadata", "annotations")


def _stored_annotations(vmi: VirtualMachineInstance) -> dict[str, str]:
    annotations = vmi.metadata.annotations
    return {key: annotations[key] for key in (CORDONED_NODE, EVICTION_SOURCE) if key in annotations}
