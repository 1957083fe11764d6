"""What to do for a VirtualMachineInstanceReplicaSet. Pure; called by reconcile.py.

A pass settles who owns what, or creates and deletes, or reports: each write changes what the next pass observes. New
VirtualMachineInstances are created before finished ones are deleted.
"""

from __future__ import annotations

from itertools import chain, repeat

from virt_core.objects.meta import Condition, rfc3339
from virt_core.objects.patch import status_patch
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.actions import LookAgain, RecordEvent
from virt_controller.ownership import adoption_patch, release_patch
from virt_controller.replica_set.actions import (
    Action,
    CreateInstances,
    DeleteInstances,
    Instance,
    PatchInstance,
    PatchStatus,
)
from virt_controller.replica_set.back_off import replacement_time, seconds_to_replacement, short_lives
from virt_controller.replica_set.instance import instance
from virt_controller.replica_set.observe import Observed
from virt_controller.replica_set.ranking import first_to_go
from virt_controller.replica_set.status import FAILURE, PAUSED, next_status, stored_condition

_BURST = 250  # VirtualMachineInstances that a pass creates or deletes, KubeVirt's
_MISMATCH = "spec.selector does not match spec.template.metadata.labels: nothing is created"


def plan(observed: Observed) -> tuple[Action, ...]:
    """The actions that bring the world nearer to the replica set; empty when nothing is to be done."""
    if observed.replica_set.metadata.deletion_timestamp is not None:
        return ()  # the garbage collector deletes what it owns, or orphans it
    if claims := _claims(observed):
        return claims
    if observed.spec.paused or not _selects_its_own(observed):
        return report(observed)
    if observed.failure is not None:
        # Finished ones may be what fills a quota.
        finished = _deletions(_due(observed)) if observed.failure.reason == "FailedCreate" else ()
        return (*finished, *report(observed))
    return _scale(observed) or report(observed)


def missing(observed: Observed) -> int:
    """How many VirtualMachineInstances the plan creates, so many names it needs."""
    if observed.spec.paused or observed.failure is not None:
        return 0
    return min(_BURST, max(0, _short_of(observed) - len(_held(observed))))


def report(observed: Observed) -> tuple[Action, ...]:
    """Write the status if it changes, with the events that explain it."""
    trouble = _trouble(observed)
    replica_set = observed.replica_set
    operations = status_patch(replica_set.metadata, replica_set.raw_status, next_status(observed, trouble))
    waits = [seconds_to_replacement(vmi, observed.spec, observed.now) for vmi in _held(observed)]
    if observed.failure is not None:
        waits.append(observed.failure.seconds_to_retry(stored_condition(observed, FAILURE), observed.now))
    again = (LookAgain(max(0.0, min(waits))),) if waits and not observed.spec.paused else ()
    if not operations:
        return again
    return (PatchStatus(tuple(operations)), *_events(observed, trouble), *again)


def _claims(observed: Observed) -> tuple[Action, ...]:
    """Release those whose labels do not match any more, adopt those that match and have no controller. One whose guest
    has ended is of no use and stays with its user."""
    replica_set, selector = observed.replica_set, observed.spec.selector
    released = [vmi for vmi in observed.owned if not selector.matches(vmi.metadata.labels)]
    adopted = [
        vmi
        for vmi in observed.orphans
        if vmi.metadata.deletion_timestamp is None and not vmi.status.phase.final and _selects_its_own(observed)
    ]
    return (
        *(
            PatchInstance(vmi.metadata.name, tuple(release_patch(vmi.metadata, replica_set.metadata.uid)))
            for vmi in released
        ),
        *(
            PatchInstance(
                vmi.metadata.name,
                tuple(adoption_patch(vmi.metadata, replica_set.reference)),
                only_if_replica_set_stays=True,
            )
            for vmi in adopted
        ),
    )


def _selects_its_own(observed: Observed) -> bool:
    """Whether its selector matches what it creates. Otherwise it would create without end."""
    labels = (observed.spec.template.metadata or {}).get("labels")
    return observed.spec.selector.matches(labels if isinstance(labels, dict) else {})


def _scale(observed: Observed) -> tuple[Action, ...]:
    creations = _creations(observed)
    surplus = first_to_go(observed.active)[: min(_BURST, max(0, -_short_of(observed)))]
    return (*creations, *_deletions((*surplus, *_due(observed), *observed.evicted)))


def _creations(observed: Observed) -> tuple[Action, ...]:
    """New ones take the places of finished ones first, and remember how short those lived."""
    replaced = sorted((short_lives(vmi, observed.spec) for vmi in _due(observed)), reverse=True)
    lives = zip(observed.names[: missing(observed)], chain(replaced, repeat(0)), strict=False)
    manifests = tuple(instance(observed.replica_set, observed.spec, name, short) for name, short in lives)
    return (CreateInstances(manifests),) if manifests else ()


def _deletions(instances: tuple[VirtualMachineInstance, ...]) -> tuple[Action, ...]:
    going = tuple(Instance(vmi.metadata.name, vmi.metadata.uid) for vmi in instances)
    return (DeleteInstances(going),) if going else ()


def _short_of(observed: Observed) -> int:
    """How many active ones are missing; negative: how many there are too many."""
    return observed.spec.wanted_replicas - len(observed.active)


def _held(observed: Observed) -> tuple[VirtualMachineInstance, ...]:
    """Finished ones that keep their places for a while, because their lives were short. If there are more of them than
    places, those with the longest row stay."""
    spec = observed.spec
    waiting = [vmi for vmi in observed.finished if seconds_to_replacement(vmi, spec, observed.now) > 0]
    ranked = sorted(waiting, key=lambda vmi: -short_lives(vmi, spec))
    return tuple(ranked[: max(0, _short_of(observed))])


def _due(observed: Observed) -> tuple[VirtualMachineInstance, ...]:
    """Finished ones that keep no place."""
    held = {vmi.metadata.uid for vmi in _held(observed)}
    return tuple(vmi for vmi in observed.finished if vmi.metadata.uid not in held)


def _trouble(observed: Observed) -> Condition | None:
    if observed.failure is not None:
        return Condition(FAILURE, "True", observed.failure.reason, observed.failure.message)
    if not _selects_its_own(observed):
        return Condition(FAILURE, "True", "FailedCreate", _MISMATCH)
    held = () if observed.spec.paused else _held(observed)
    if not held:
        return None
    first = min(held, key=lambda vmi: replacement_time(vmi, observed.spec))
    message = f"{first.metadata.name} ended soon after its start, {short_lives(first, observed.spec)} in a row did: "
    message += f"it is replaced at {rfc3339(replacement_time(first, observed.spec))}"
    return Condition(FAILURE, "True", "CrashLoopBackOff", message)


def _events(observed: Observed, trouble: Condition | None) -> tuple[RecordEvent, ...]:
    """For conditions that come and go. A refusal is one event, however often it is tried; the condition has the newest
    message."""
    events = []
    was_paused = stored_condition(observed, PAUSED) is not None
    if observed.spec.paused and not was_paused:
        events.append(RecordEvent("SuccessfulPaused", "Paused"))
    if was_paused and not observed.spec.paused:
        events.append(RecordEvent("SuccessfulResumed", "Resumed"))
    known = stored_condition(observed, FAILURE)
    if trouble is not None and (known is None or known.reason != trouble.reason):
        events.append(RecordEvent(trouble.reason, trouble.message, warning=True))
    return tuple(events)
