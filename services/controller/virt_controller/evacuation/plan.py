"""Plans how a guest leaves its node. Pure; called by reconcile.py.

An eviction has marked the VirtualMachineInstance (virt-api), or the node has the drain taint. The guest is moved by a
VirtualMachineInstanceMigration; how many run at a time, and how long one waits after a failure, is decided by the
migration's controller. The mark goes with the guest (its new handler removes it), by evacuate/cancel (virt-api), or
here when a cordoned node is schedulable again.
"""

from __future__ import annotations

from virt_core.conventions.conditions import EVACUATION_BLOCKED, EVICTION_REQUESTED
from virt_core.conventions.migration import CORDONED_NODE, DESCHEDULER, EVACUATION, EVICTION_SOURCE
from virt_core.migration.admission import SYSTEM_CRITICAL, SYSTEM_MAINTENANCE
from virt_core.objects.meta import condition_of
from virt_core.vmi.eviction import EXTERNAL, MOVED_BY_OTHERS, eviction_strategy, is_migratable, migrates_on_eviction
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase

from virt_controller.actions import LookAgain, RecordEvent
from virt_controller.evacuation.actions import Action, CreateMigration, PatchPod, PatchVmi
from virt_controller.evacuation.observe import Observed
from virt_controller.evacuation.status import NOT_MIGRATABLE, blocked, is_reported, pod_patch, vmi_patch
from virt_controller.migration.request import request
from virt_controller.node.observe import Node

_PREFIX = "kubevirt-evacuation-"  # as in KubeVirt
_CANNOT_MOVE = "VirtualMachineInstance is not migrateable"  # KubeVirt's text


def plan(observed: Observed) -> tuple[Action, ...]:
    """The next actions, the status last; empty if nothing is to be done."""
    return (*_migration(observed), *report(observed)) if _alive(observed) else ()


def report(observed: Observed) -> tuple[Action, ...]:
    """What is reported, without a new attempt."""
    if not _alive(observed):
        return ()
    marked = bool(observed.vmi.status.evacuation_node_name) and not _withdrawn(observed)
    operations = vmi_patch(observed, marked=marked)
    patch = (PatchVmi(tuple(operations)),) if operations else ()
    return (*_pods(observed, marked=marked), *patch, *(_events(observed) if patch else ()), *_again(observed))


def may_concern(vmi: VirtualMachineInstance, node: Node | None, drain_taint: str) -> bool:
    """Whether a pass may have anything to do. Most guests leave nowhere, and their status changes often."""
    empties = node is not None and node.empties(drain_taint)
    return empties or bool(vmi.status.evacuation_node_name) or is_reported(vmi)


def _alive(observed: Observed) -> bool:
    """Whether the guest runs, or is to. Nothing is done about one in a phase of another release."""
    vmi = observed.vmi
    phase = vmi.status.phase
    return not phase.final and phase is not VmiPhase.UNKNOWN and vmi.metadata.deletion_timestamp is None


def _withdrawn(observed: Observed) -> bool:
    """Whether the mark is void: the guest is elsewhere, or the node was cordoned and is schedulable again. A migration
    that has been requested goes on."""
    vmi = observed.vmi
    if observed.unfinished:
        return False
    if not observed.marked:
        return True
    was_cordoned = vmi.metadata.annotations.get(CORDONED_NODE) == vmi.status.node_name
    return was_cordoned and observed.node is not None and not observed.cordoned


def _migration(observed: Observed) -> tuple[CreateMigration, ...]:
    vmi = observed.vmi
    leaves = (observed.marked and not _withdrawn(observed)) or observed.drained
    if not leaves or observed.unfinished or observed.failure is not None:
        return ()
    if vmi.status.phase is not VmiPhase.RUNNING or not migrates_on_eviction(vmi) or not is_migratable(vmi):
        return ()
    by_descheduler = vmi.metadata.annotations.get(EVICTION_SOURCE) == DESCHEDULER
    priority = SYSTEM_MAINTENANCE if by_descheduler else SYSTEM_CRITICAL
    marks = {EVACUATION: vmi.status.node_name}
    return (CreateMigration(request(vmi, observed.migrations, prefix=_PREFIX, annotations=marks, priority=priority)),)


def _events(observed: Observed) -> tuple[RecordEvent, ...]:
    """Once, when it is found that the guest cannot be moved, or that others have to. Refused creations have events of
    their own."""
    vmi = observed.vmi
    if observed.marked and eviction_strategy(vmi) == EXTERNAL:
        known = condition_of(vmi.status.conditions, EVICTION_REQUESTED) is not None
        note = f"the guest is to leave node {vmi.status.node_name}; {MOVED_BY_OTHERS}"
        return () if known else (RecordEvent(EVICTION_REQUESTED, note, warning=True),)
    now, before = blocked(observed), condition_of(vmi.status.conditions, EVACUATION_BLOCKED)
    if now is None or now.reason != NOT_MIGRATABLE or (before is not None and before.reason == now.reason):
        return ()
    return (RecordEvent("FailedCreate", f"{_CANNOT_MOVE}: {now.message}", warning=True),)


def _again(observed: Observed) -> tuple[LookAgain, ...]:
    """The next attempt after a refused creation: the longer they are refused, the later."""
    if observed.failure is None:
        return ()
    before = condition_of(observed.vmi.status.conditions, EVACUATION_BLOCKED)
    return (LookAgain(max(0.0, observed.failure.seconds_to_retry(before, observed.now))),)


def _pods(observed: Observed, *, marked: bool) -> tuple[PatchPod, ...]:
    """The guest's pod has an annotation while the guest is to leave it. A pod that has ended keeps it."""
    vmi = observed.vmi
    found = [pod for pod in observed.pods if pod.metadata.uid in vmi.status.active_pods and not pod.ended]
    patches = ((pod.metadata.name, pod_patch(observed, pod, marked=marked)) for pod in found)
    return tuple(PatchPod(name, tuple(operations)) for name, operations in patches if operations)
