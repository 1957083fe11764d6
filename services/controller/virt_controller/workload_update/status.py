"""What is reported about outdated launchers: a label, and why one is not replaced. Pure; called by plan.py.

It starts from what is stored, so that what others report stays as it is.
"""

from __future__ import annotations

from typing import Any

import msgspec
from virt_core.conventions.conditions import WORKLOAD_UPDATE_BLOCKED
from virt_core.conventions.migration import OUTDATED_LAUNCHER
from virt_core.objects.meta import Condition, condition_of, with_conditions
from virt_core.objects.patch import Operation, guarded_patch
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.workload_update.observe import Observed, Workload


def is_reported(vmi: VirtualMachineInstance) -> bool:
    """Whether label or condition say something of its launcher, which may be over."""
    blocked = condition_of(vmi.status.conditions, WORKLOAD_UPDATE_BLOCKED) is not None
    return blocked or OUTDATED_LAUNCHER in vmi.metadata.labels


def vmi_patch(observed: Observed, workload: Workload, blocked: Condition | None) -> list[Operation]:
    """The guarded patch of label and condition; empty: nothing changes."""
    vmi, meta = workload.vmi, workload.vmi.metadata
    labels = {key: value for key, value in meta.labels.items() if key == OUTDATED_LAUNCHER}
    wanted = {OUTDATED_LAUNCHER: ""} if observed.outdated(workload) else {}
    if meta.labels:
        operations = guarded_patch(meta, labels, wanted, "metadata", "labels")
    else:
        operations = guarded_patch(meta, {}, {"labels": wanted} if wanted else {}, "metadata")
    before = {key: value for key, value in vmi.raw_status.items() if key == "conditions"}
    conditions = _conditions(observed, workload, blocked)
    return [*operations, *guarded_patch(meta, before, {"conditions": conditions} if conditions else {}, "status")]


def _conditions(observed: Observed, workload: Workload, blocked: Condition | None) -> list[dict[str, Any]]:
    current = workload.vmi.status.conditions
    before = condition_of(current, WORKLOAD_UPDATE_BLOCKED)
    same = before is not None and blocked is not None and _said(before) == _said(blocked)
    if same or before is blocked:
        return list(workload.vmi.raw_status.get("conditions", []))
    kept = [condition for condition in current if condition.type != WORKLOAD_UPDATE_BLOCKED or blocked is not None]
    wanted = [blocked] if blocked is not None else []
    built: list[dict[str, Any]] = msgspec.to_builtins(with_conditions(kept, wanted, observed.now))
    return built


def _said(condition: Condition) -> tuple[str, str, str]:
    return condition.status, condition.reason, condition.message
