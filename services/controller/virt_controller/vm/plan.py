"""What to do about one VirtualMachine, from what was observed. Pure; called by reconcile.py.

run_strategy.py says what is wanted; here it becomes actions in an order in which the controller may die after each:
requests and failures are recorded before the VirtualMachineInstance that they are about is released.
"""

from __future__ import annotations

from dataclasses import replace

from virt_core.conventions import labels
from virt_core.objects.meta import Condition, condition_of, seconds_since
from virt_core.objects.patch import Operation, finalizers_patch, status_patch
from virt_core.vm.virtual_machine import RunStrategy, strategy_patch
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.actions import LookAgain, RecordEvent
from virt_controller.failure import Failure
from virt_controller.ownership import adoption_patch
from virt_controller.vm.actions import (
    Action,
    CreateInstance,
    DeleteInstance,
    DeleteRevision,
    PatchInstance,
    PatchStatus,
    PatchVm,
)
from virt_controller.vm.instancetype import applied, choice_failure, keep, must_keep, name_annotations, revisions
from virt_controller.vm.live_update import annotations_patch, launcher_annotation, live_update
from virt_controller.vm.observe import Observed, has_ended, is_orphan
from virt_controller.vm.printable import TERMINATING
from virt_controller.vm.restart_required import template_is_as_started
from virt_controller.vm.run_strategy import Wanted, wanted
from virt_controller.vm.start import created, instance, revision, revision_name, revision_of, revision_prefix
from virt_controller.vm.start_revision import replaced, reused
from virt_controller.vm.status import (
    RECORDED,
    Status,
    announced_status,
    next_start_failure,
    next_status,
    seconds_to_start,
    started_generation,
)

_GOING_SECONDS = 3.0  # more than a pod needs to go once its guest has ended, but for a node in trouble
_GOING_SECONDS_LAST = 30.0  # the same if its VirtualMachine goes with it and says so: there may be many
FAILED_DELETE = "FailedDelete"  # KubeVirt's
_ORPHAN = "orphan"  # the finalizer of `kubectl delete --cascade=orphan`


def plan(observed: Observed) -> tuple[Action, ...]:
    """The actions that bring the world nearer to the VirtualMachine; none when all is well."""
    if observed.vm.metadata.deletion_timestamp is not None:
        return _delete(observed)
    failure = choice_failure(observed)
    if first := _first(observed, failure):
        return first
    want = wanted(observed)
    if want.run_always:
        return (PatchVm(tuple(strategy_patch(observed.vm, RunStrategy.ALWAYS))),)
    if failure is not None:
        return _without_choice(observed, want, failure)
    if observed.own is not None:
        return _with_instance(observed, observed.own, want)
    return _start(observed, want) if want.start else _report(observed, want)


def _first(observed: Observed, failure: Failure | None) -> tuple[Action, ...]:
    """What comes before the run strategy. `failure`: why instance type and preference cannot be used."""
    meta, vmi = observed.vm.metadata, observed.vmi
    if labels.VM_FINALIZER not in meta.finalizers:
        return (PatchVm(tuple(finalizers_patch(meta, [*meta.finalizers, labels.VM_FINALIZER]))),)
    if vmi is not None and (settled := _settle_ownership(observed, vmi)) is not None:
        return (settled,)
    if failure is None and must_keep(observed) and _seconds_to_retry(observed) <= 0:
        return keep(observed)
    return ()


def needs_objects(observed: Observed) -> bool:
    """Whether to read the instance type and the preference that are kept for the VirtualMachine."""
    starts = observed.own is None and wanted(observed).start
    return starts or must_keep(observed) or needs_revision(observed)


def _without_choice(observed: Observed, want: Wanted, failure: Failure) -> tuple[Action, ...]:
    """Nothing is started, but a guest that runs can be stopped. A missing object is reported when it appears."""
    vmi = observed.own
    if vmi is not None and want.stop:
        return _with_instance(observed, vmi, want)
    event = _event_of(failure, _reported_failure(observed))
    actions = (*_report(replace(observed, failure=failure), want), *event)
    if vmi is not None and has_ended(vmi) and labels.VM_FINALIZER in vmi.metadata.finalizers:
        return (*actions, *_release(observed, vmi))
    return actions


def _seconds_to_retry(observed: Observed) -> float:
    """Until what the API server refused is tried again."""
    failure = observed.failure
    return failure.seconds_to_retry(_reported_failure(observed), observed.now) if failure is not None else 0.0


def needs_revision(observed: Observed) -> bool:
    """Whether to read what the guest was started with: only if the VirtualMachine has changed since, or if another one
    of its name started it, whose generations say nothing about this one's. Not for a guest that is about to go; the
    deletion of a VirtualMachine counts as a change of its generation, too."""
    vmi, vm = observed.own, observed.vm
    if vmi is None or vmi.status.phase.final or not revision_of(vmi):
        return False
    if any(subject.metadata.deletion_timestamp is not None for subject in (vm, vmi)):
        return False
    if observed.strategy is RunStrategy.HALTED:
        return False
    started_by_another = not revision_of(vmi).startswith(revision_prefix(vm))
    return started_by_another or started_generation(vmi) != vm.metadata.generation


def release(vmi: VirtualMachineInstance) -> PatchInstance:
    """Take the finalizer off a VirtualMachineInstance whose end is recorded, or whose VirtualMachine is gone."""
    kept = [finalizer for finalizer in vmi.metadata.finalizers if finalizer != labels.VM_FINALIZER]
    return PatchInstance(vmi.metadata.name, tuple(finalizers_patch(vmi.metadata, kept)))


def _settle_ownership(observed: Observed, vmi: VirtualMachineInstance) -> PatchInstance | None:
    """Release or adopt a VirtualMachineInstance of the VirtualMachine's name that is not its own; None: it is, or
    another controller has it."""
    if observed.own is None and _is_left_over(vmi):
        return replace(release(vmi), only_if_vm_stays=True)
    if is_orphan(vmi) and vmi.metadata.deletion_timestamp is None:
        return _adopt(observed, vmi)
    return None


def _is_left_over(vmi: VirtualMachineInstance) -> bool:
    """Whether only our finalizer keeps it. If it is not its VirtualMachine's, that one is gone, since the two share a
    name, and nobody else takes the finalizer off."""
    deleted = vmi.metadata.deletion_timestamp is not None
    return deleted and has_ended(vmi) and labels.VM_FINALIZER in vmi.metadata.finalizers


def _with_instance(observed: Observed, vmi: VirtualMachineInstance, want: Wanted) -> tuple[Action, ...]:
    if want.stop and not has_ended(vmi) and observed.failure is None:
        # What is to be reported changes with the deletion, but a start that is done is not seen to be so after it.
        is_recorded = want.requests == tuple(observed.status.state_change_requests)
        return (*(() if is_recorded else _report(observed, want)), *_stop(observed, vmi))
    if not want.stop:
        observed = replace(observed, failure=None)
    live = live_update(observed, vmi) if not has_ended(vmi) else []
    if isinstance(live, Failure):
        actions = list(_report_failure(observed, want, live))
    else:
        actions = list(_report(observed, want))
        if has_ended(vmi) and labels.VM_FINALIZER in vmi.metadata.finalizers:
            actions += _release(observed, vmi)
        elif not has_ended(vmi):
            actions += _update(observed, vmi, live)
    if want.stop:
        actions += _stop(observed, vmi)
    return tuple(actions)


def _update(observed: Observed, vmi: VirtualMachineInstance, live: list[Operation]) -> list[Action]:
    """Bring the live part of the template to the guest. If that was all that had changed, the guest has caught up with
    the VirtualMachine's generation."""
    generation = observed.vm.metadata.generation
    caught_up = started_generation(vmi) != generation and template_is_as_started(observed)
    annotations = annotations_patch(observed, vmi, {labels.VM_GENERATION: str(generation)} if caught_up else None)
    operations = (*annotations, *live)
    return [PatchInstance(vmi.metadata.name, operations)] if operations else []


def _release(observed: Observed, vmi: VirtualMachineInstance) -> list[Action]:
    name, kept = revision_of(vmi), observed.start_revision
    is_kept = kept is not None and kept.name == name
    return [*([DeleteRevision(name, unless_named=True)] if name and not is_kept else []), release(vmi)]


def _stop(observed: Observed, vmi: VirtualMachineInstance) -> list[Action]:
    """Delete the VirtualMachineInstance, or wait if that was refused a moment ago."""
    failure, known = observed.failure, _reported_failure(observed)
    if failure is not None and (wait := failure.seconds_to_retry(known, observed.now)) > 0:
        return [*_event_of(failure, known), LookAgain(wait)]
    name = vmi.metadata.name
    message = f"Stopped the virtual machine by deleting the virtual machine instance {vmi.metadata.uid}"
    return [DeleteInstance(name, vmi.metadata.uid), RecordEvent("SuccessfulDelete", message)]


def _start(observed: Observed, want: Wanted) -> tuple[Action, ...]:
    vm, now, other = observed.vm, observed.now, observed.vmi
    if other is not None:
        why = f"VirtualMachineInstance {other.metadata.name} has another controller: delete it, or rename this VM"
        return _report_failure(observed, want, Failure("FailedCreate", why, now))
    waits = [_seconds_to_retry(observed)]
    start_failure = next_start_failure(observed) if want.waits_for_backoff else None
    if start_failure is not None:
        waits.append(seconds_to_start(start_failure, now))
    if max(waits) > 0:
        return (*_report(observed, want), LookAgain(max(waits)))
    paused = any(request.starts_paused for request in want.requests[:1])
    message = f"Started the virtual machine by creating the new virtual machine instance {vm.metadata.name}"
    kept, names = reused(observed), name_annotations(observed)
    name = kept or revision_name(vm)
    annotations = {**names, **launcher_annotation(observed)}
    manifest = instance(vm, applied(observed).template, revision=name, paused=paused, annotations=annotations)
    announcement = _announce(observed, created(manifest))
    keeping = revision(vm, name, revisions(observed))
    creation = CreateInstance(manifest, keeping, reused=bool(kept), confirmed=bool(announcement))
    return *announcement, creation, RecordEvent("SuccessfulCreate", message)


def _announce(observed: Observed, created: VirtualMachineInstance) -> tuple[PatchStatus, ...]:
    """Report the VirtualMachineInstance that is about to be created: one patch instead of a read that confirms what
    the cache says, and a report. What failed before is reported until it succeeds."""
    if observed.failure is not None or _reported_failure(observed) is not None:
        return ()
    meta, before = observed.vm.metadata, observed.vm.raw_status
    operations = status_patch(meta, before, announced_status(observed, created))
    if not operations:
        return ()
    unchanged = {"op": "test", "path": "/metadata/resourceVersion", "value": meta.resource_version}
    return (PatchStatus((unchanged, *operations)),)


def refused(observed: Observed) -> tuple[Action, ...]:
    """The API server refused the VirtualMachineInstance, or to keep an object for it: `observed.failure` says why. The
    next attempt may be of another generation, so the revision of this one goes, if no guest was started with it."""
    assert observed.failure is not None
    name, kept = revision_name(observed.vm), observed.start_revision
    was_made = observed.own is None and not reused(observed) and (kept is None or kept.name != name)
    deletions = (DeleteRevision(name),) if was_made else ()
    return (*_report_failure(observed, wanted(observed), observed.failure), *deletions)


def _report_failure(observed: Observed, want: Wanted, failure: Failure) -> tuple[Action, ...]:
    """One event, however often it is tried; the condition holds the newest words."""
    known = _reported_failure(observed)
    again = LookAgain(failure.seconds_to_retry(known, failure.at))
    return (*_report(replace(observed, failure=failure), want), *_event_of(failure, known), again)


def _event_of(failure: Failure, known: Condition | None) -> tuple[RecordEvent, ...]:
    """The event of a failure that was not reported before."""
    is_new = known is None or known.reason != failure.reason
    return (RecordEvent(failure.reason, failure.message, warning=True),) if is_new else ()


def _reported_failure(observed: Observed) -> Condition | None:
    return condition_of(observed.status.conditions, "Failure")


def _report(observed: Observed, want: Wanted) -> tuple[Action, ...]:
    vm, after = observed.vm, next_status(observed, want.requests)
    operations = status_patch(vm.metadata, vm.raw_status, after)
    if not operations or _can_wait(observed, after):
        return ()
    if (seconds := _seconds_to_go(observed)) > 0 and all(vm.raw_status.get(key) == after.get(key) for key in RECORDED):
        return (LookAgain(seconds),)
    old = replaced(observed)
    return *((DeleteRevision(old),) if old else ()), PatchStatus(tuple(operations))


def _can_wait(observed: Observed, after: Status) -> bool:
    """Whether nothing else is to be reported than which ControllerRevision is kept, which is written with what comes
    next. When the guest has ended, the next may be a start."""
    before, vmi = observed.vm.raw_status, observed.own
    if vmi is not None and has_ended(vmi):
        return False
    return {**before, "startRevision": None} == {**after, "startRevision": None}


def _seconds_to_go(observed: Observed) -> float:
    """How long a deleted guest that has ended may take to go. Its pod usually takes a second, and what is reported of
    it changes once more when it is gone."""
    vmi, deleted = observed.own, observed.vm.metadata.deletion_timestamp is not None
    if vmi is None or vmi.metadata.deletion_timestamp is None or not vmi.status.phase.final or observed.failure:
        return 0.0
    moments = [entry for entry in vmi.status.phase_transition_timestamps if entry.get("phase") == vmi.status.phase]
    moment = moments[-1].get("phaseTransitionTimestamp") if moments else None
    age = seconds_since(moment, observed.now)  # 0: unknown, or by the clock of a node that is ahead
    patience = _GOING_SECONDS_LAST if deleted and observed.status.printable_status == TERMINATING else _GOING_SECONDS
    return max(0.0, patience - age) if age > 0 else 0.0


def _delete(observed: Observed) -> tuple[Action, ...]:
    """First its VirtualMachineInstance goes, then its finalizer. Orphaning leaves the VirtualMachineInstance alone."""
    meta, vmi = observed.vm.metadata, observed.own
    if labels.VM_FINALIZER not in meta.finalizers:  # another finalizer holds it
        return (release(observed.vmi),) if observed.vmi is not None and _is_left_over(observed.vmi) else ()
    if vmi is None or _ORPHAN in meta.finalizers:
        kept = [finalizer for finalizer in meta.finalizers if finalizer != labels.VM_FINALIZER]
        left = observed.start_revision if vmi is None and _ORPHAN in meta.finalizers else None
        deletions = (DeleteRevision(left.name),) if left is not None else ()  # it would be orphaned, too
        return *deletions, PatchVm(tuple(finalizers_patch(meta, kept)))
    actions = list(_report(observed, Wanted(())))
    if vmi.metadata.deletion_timestamp is None:
        actions += _stop(observed, vmi)
    held = {labels.VM_FINALIZER, labels.VMI_FINALIZER}.intersection(vmi.metadata.finalizers)
    if has_ended(vmi) and held == {labels.VM_FINALIZER}:  # one that had a pod is released with its own finalizer
        actions.append(release(vmi))
    return tuple(actions)


def _adopt(observed: Observed, vmi: VirtualMachineInstance) -> PatchInstance:
    """The VirtualMachine becomes the controller of a VirtualMachineInstance of its name that has none."""
    kept = sorted({*vmi.metadata.finalizers, labels.VM_FINALIZER})
    finalizers = {"op": "add", "path": "/metadata/finalizers", "value": kept}
    operations = (*adoption_patch(vmi.metadata, observed.vm.reference), finalizers)
    return PatchInstance(vmi.metadata.name, operations, only_if_vm_stays=True)
