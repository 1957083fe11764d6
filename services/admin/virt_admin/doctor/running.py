"""What a running guest lacks, and why it does not move. Pure; called by machine.py."""

from __future__ import annotations

from collections.abc import Iterator

from virt_core.conventions.conditions import EVACUATION_BLOCKED, LIVE_MIGRATABLE, PAUSED, READY, WORKLOAD_UPDATE_BLOCKED
from virt_core.conventions.migration import OUTDATED_LAUNCHER
from virt_core.migration.migration import (
    REJECTED_BY_QUOTA,
    STALLED,
    WAITING,
    MigrationPhase,
    VirtualMachineInstanceMigration,
)
from virt_core.objects.meta import condition_of
from virt_core.vmi.instance import VirtualMachineInstance

from virt_admin.doctor.case import Case
from virt_admin.doctor.finding import NOTE, PROBLEM, WAIT, Finding
from virt_admin.doctor.node import node_findings
from virt_admin.suite.trouble import pod_trouble

_READY_ADVICE = {
    "NodeUnreachable": "the guest may still run; it is given up when the node is deleted or tainted out-of-service",
    "NodeNotReady": "the guest may still run; it is given up when the node is deleted or tainted out-of-service",
    "HandlerUnresponsive": "the guest still runs; look at virt-handler's pod on the node",
    "PodTerminating": "the guest shuts down, because its pod was evicted or deleted",
}


def running(case: Case, vmi: VirtualMachineInstance) -> Iterator[Finding]:
    """Of a guest that runs."""
    if vmi.status.node_name:
        yield from node_findings(case.suite, vmi.status.node_name)
    ready, paused = case.condition(READY), case.condition(PAUSED)
    if paused is not None and paused.status == "True":
        what = f"it is paused: {paused.reason}: {paused.message}"
        advice = f"virtctl unpause vmi -n {case.namespace} {case.name}"
        if "IOError" in paused.reason:
            advice = f"make room on the storage of the disk that is named, then {advice}"
        yield Finding(PROBLEM, what, case.vmi_object, paused.last_transition_time or "", advice)
    elif ready is not None and ready.status != "True":
        what = f"it runs and is not Ready: {ready.reason}: {ready.message}"
        advice = _READY_ADVICE.get(ready.reason, "look at its readiness probe and its events")
        yield Finding(PROBLEM, what, case.vmi_object, ready.last_transition_time or "", advice)
    yield from moving(case, vmi)


def moving(case: Case, vmi: VirtualMachineInstance) -> Iterator[Finding]:
    """Of its migrations, its evacuation and the replacement of its launcher."""
    order = sorted(case.migrations, key=lambda found: (found.metadata.creation_timestamp, found.metadata.name))
    unfinished = [found for found in order if not found.status.phase.final]
    for migration in unfinished:
        yield from _migration(case, migration)
    if order and not unfinished and order[-1].status.phase is MigrationPhase.FAILED:
        last = order[-1]
        where = f"VirtualMachineInstanceMigration {case.namespace}/{last.metadata.name}"
        what = f"its last migration failed: {last.status.failure_reason}"
        yield Finding(NOTE, what, where, last.status.entered(MigrationPhase.FAILED))
    migratable = case.condition(LIVE_MIGRATABLE)
    if migratable is not None and migratable.status == "False":
        what = f"it cannot be migrated: {migratable.reason}: {migratable.message}"
        yield Finding(NOTE, what, case.vmi_object, migratable.last_transition_time or "", "restart it to move it")
    yield from _blocked(case, vmi)


def _blocked(case: Case, vmi: VirtualMachineInstance) -> Iterator[Finding]:
    evacuation = case.condition(EVACUATION_BLOCKED)
    if evacuation is not None and evacuation.status == "True":
        what = f"it should leave its node and does not: {evacuation.reason}: {evacuation.message}"
        advice = "mend what the message names, or stop the VM: a drain of the node waits for it"
        yield Finding(PROBLEM, what, case.vmi_object, evacuation.last_transition_time or "", advice)
    update = case.condition(WORKLOAD_UPDATE_BLOCKED)
    if OUTDATED_LAUNCHER not in vmi.metadata.labels:
        return
    if update is not None and update.status == "True":
        what = f"its launcher is outdated and is not replaced: {update.reason}: {update.message}"
        yield Finding(NOTE, what, case.vmi_object, update.last_transition_time or "", "a restart replaces it")
    elif not case.suite.kubevirt.spec.workload_update_strategy.workload_update_methods:
        what = "its launcher is outdated, and workloadUpdateStrategy lists no method that replaces it"
        yield Finding(NOTE, what, case.vmi_object, advice="a restart replaces it")


def _migration(case: Case, migration: VirtualMachineInstanceMigration) -> Iterator[Finding]:
    name, status = migration.metadata.name, migration.status
    where = f"VirtualMachineInstanceMigration {case.namespace}/{name}"
    since = status.entered(status.phase) or migration.metadata.creation_timestamp
    explained = False
    for kind, severity in ((WAITING, WAIT), (REJECTED_BY_QUOTA, PROBLEM), (STALLED, PROBLEM)):
        condition = condition_of(status.conditions, kind)
        if condition is None or condition.status != "True":
            continue
        explained = True
        what = f"migration {name} does not go on: {condition.message or condition.reason or kind}"
        advice = "look at both launcher pods and their nodes; deleting the migration cancels it"
        yield Finding(severity, what, where, condition.last_transition_time or since, advice)
    pod = case.target_of(migration)
    if pod is not None and (why := pod_trouble(pod)):
        explained = True
        what = f"the target pod of migration {name} does not start: {why}"
        yield Finding(PROBLEM, what, f"Pod {pod.name}", pod.metadata.creation_timestamp)
    elif pod is not None and pod.spec.node_name:
        yield from node_findings(case.suite, pod.spec.node_name)
    if not explained:
        yield Finding(WAIT, f"migration {name} is in phase {status.phase.value or 'none yet'}", where, since)
