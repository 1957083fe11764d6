"""A migration that has its place, until its target pod has a node and is handed off.

Pure; called by plan.py and, while the pod that was handed off starts, by follow.py.
"""

from __future__ import annotations

from virt_core.migration.migration import REJECTED_BY_QUOTA, WAITING, MigrationPhase
from virt_core.objects.meta import Condition, seconds_since

from virt_controller.actions import LookAgain, RecordEvent
from virt_controller.failure import Failure
from virt_controller.migration import hand_off, status, target
from virt_controller.migration.actions import Action, DeleteTarget
from virt_controller.migration.limits import waits_to_arrive
from virt_controller.migration.observe import Observed
from virt_controller.migration.outcome import fail, patched
from virt_controller.pod.observed import LauncherPod
from virt_controller.pod.problems import UNSCHEDULABLE, rejection, seconds_to_replace, start_problem

# A pod runs within seconds, and the hand-off notes it. That a slower one was created is noted with what it waits for,
# or after this time: if it is removed then, no leader creates it a second time.
_SLOW_SECONDS = 5.0
_TROUBLE = (WAITING, REJECTED_BY_QUOTA)


def report_refusal(observed: Observed, refusal: Failure) -> tuple[Action, ...]:
    """The API server has not admitted the target pod: say so, and try again after a while, but not for ever."""
    left = target.seconds_to_be_admitted(observed)
    if left <= 0:
        return fail(observed, f"Migration target pod was not admitted in time: {refusal.message}")
    kind = REJECTED_BY_QUOTA if "exceeded quota" in refusal.message else WAITING
    known = status.condition(observed.job, kind)
    condition = Condition(kind, "True", refusal.reason, refusal.message)
    patch = patched(observed, status.with_condition(observed.job, condition, observed.now))
    event = RecordEvent(refusal.reason, refusal.message, warning=True)
    again = LookAgain(min(left, max(0.0, refusal.seconds_to_retry(known, observed.now))))
    return (*patch, *((event,) if patch and known is None else ()), again)


def schedule(observed: Observed, pod: LauncherPod) -> tuple[Action, ...]:
    """Wait until the target's node starts the pod, and hand the guest off: both handlers prepare meanwhile, and the
    target's handler sees the launcher up to a second before the kubelet reports it. A guest that has arrived by then is
    not missing from its Services: the source's pod stays in them, and passes on what arrives."""
    if pod.rejected:
        return _replace_rejected(observed, pod)
    if pod.ended or pod.broken or pod.metadata.deletion_timestamp is not None:
        return fail(observed, target.why_down(pod))
    if target.may_be_prepared(pod):
        return _hand_off(observed, pod)
    late = target.why_too_late(observed, pod)
    return fail(observed, late) if late else report_start(observed, pod)


def _replace_rejected(observed: Observed, pod: LauncherPod) -> tuple[Action, ...]:
    """The pod has run nothing: it is deleted after a while, and the next pass creates another, but not for ever."""
    job, found = observed.job, rejection(pod)
    left = target.seconds_to_be_admitted(observed)
    if left <= 0:
        return fail(observed, f"Migration target pod was not admitted in time: {found.message}")
    condition = Condition(WAITING, "True", found.reason, found.message)
    after = status.with_condition(job, condition, observed.now, status.without(job.raw_status, REJECTED_BY_QUOTA))
    patch = patched(observed, status.without_target(after))
    noted = (*patch, *((RecordEvent(found.reason, found.message, warning=True),) if patch else ()))
    if pod.metadata.deletion_timestamp is not None:
        return noted
    attempted = seconds_since(job.status.entered(MigrationPhase.SCHEDULING), observed.now)
    wait = min(left, seconds_to_replace(pod, attempted, observed.now))
    return (*noted, LookAgain(wait) if wait > 0 else DeleteTarget(pod.metadata.name, pod.metadata.uid))


def _hand_off(observed: Observed, pod: LauncherPod) -> tuple[Action, ...]:
    """Hand the guest off, unless too many others arrive at the node."""
    job = observed.job
    if observed.settings is None:
        return (LookAgain(),)
    obstacle = waits_to_arrive(job.metadata.uid, pod.spec.node_name, observed.candidates, observed.settings)
    if not obstacle:
        return hand_off.to_handlers(observed)
    waiting = Condition(WAITING, "True", status.PARALLEL, obstacle)
    after = status.with_condition(job, waiting, observed.now, status.without(job.raw_status, REJECTED_BY_QUOTA))
    return patched(observed, status.with_target(after, pod.metadata.name))


def report_start(observed: Observed, pod: LauncherPod) -> tuple[Action, ...]:
    """Why the target pod does not run yet."""
    job, found = observed.job, start_problem(pod)
    after = status.without(job.raw_status, *_TROUBLE)
    events: tuple[Action, ...] = ()
    if found is not None:
        condition = Condition(WAITING, "True", found.reason, found.message)
        after = status.with_condition(job, condition, observed.now, status.without(job.raw_status, REJECTED_BY_QUOTA))
        known = status.condition(job, WAITING)
        if found.reason == UNSCHEDULABLE and (known is None or known.reason != UNSCHEDULABLE):
            message = f"Migration target pod for VMI [{observed.vmi_name}] is currently unschedulable."
            events = (RecordEvent("migrationTargetPodUnschedulable", message, warning=True),)
    slow = _SLOW_SECONDS - seconds_since(pod.metadata.creation_timestamp, observed.now)
    left = target.seconds_left(observed, pod)
    if found is not None or slow <= 0:
        after = status.with_target(after, pod.metadata.name)
    else:
        left = min(left, slow)
    return (*patched(observed, after), *events, LookAgain(left))
