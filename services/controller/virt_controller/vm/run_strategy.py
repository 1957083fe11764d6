"""What a VirtualMachine's run strategy and its users' requests want of its VirtualMachineInstance. Pure.

Called by plan.py. The table is KubeVirt's (`syncRunStrategy`), but for one thing: a switch to RerunOnFailure that has
to wait for a back-off is not forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass

from virt_core.vm.virtual_machine import RunStrategy, StateChangeRequest
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase

from virt_controller.vm.observe import Observed, is_later

_START = StateChangeRequest("Start")
_RESTARTS_BY_ITSELF = (RunStrategy.ALWAYS, RunStrategy.RERUN_ON_FAILURE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be done, in this order: the requests are recorded, then the guest is stopped or started."""

    requests: tuple[StateChangeRequest, ...]
    """stateChangeRequests as they are to be stored."""

    stop: bool = False
    """Delete the VirtualMachineInstance."""

    start: bool = False
    """Create one."""

    waits_for_backoff: bool = False
    """The start waits until a back-off is over, if there is one."""

    run_always: bool = False
    """Write the run strategy Always first: a paused start of a halted VirtualMachine."""


def wanted(observed: Observed) -> Wanted:
    """What the run strategy wants now."""
    requests, vmi = _pending(observed), observed.own
    if observed.strategy is RunStrategy.UNKNOWN:
        return Wanted(requests)
    if vmi is None:
        return _without_instance(observed, requests)
    if vmi.metadata.deletion_timestamp is not None or vmi.status.phase is VmiPhase.UNKNOWN:
        return Wanted(requests)
    return _with_instance(observed, vmi, requests)


def _with_instance(observed: Observed, vmi: VirtualMachineInstance, requests: tuple[StateChangeRequest, ...]) -> Wanted:
    first = requests[0] if requests else None
    stop_requested = first is not None and first.stops(vmi.metadata.uid)
    match observed.strategy:
        case RunStrategy.HALTED:
            return Wanted(requests, stop=True)
        case RunStrategy.ALWAYS:
            return Wanted(requests, stop=vmi.status.phase.final or stop_requested)
        case RunStrategy.RERUN_ON_FAILURE:
            failed = vmi.status.phase is VmiPhase.FAILED
            if failed and not stop_requested and _START not in requests:
                requests = (*requests, _START)
            return Wanted(requests, stop=vmi.status.phase.final or stop_requested)
        case RunStrategy.MANUAL:
            return Wanted(requests, stop=stop_requested)
        case _:
            return Wanted(requests)


def _without_instance(observed: Observed, requests: tuple[StateChangeRequest, ...]) -> Wanted:
    first = requests[0] if requests else None
    start_requested = first is not None and first.is_start
    match observed.strategy:
        case RunStrategy.ALWAYS:
            return Wanted(requests, start=True, waits_for_backoff=True)
        case RunStrategy.RERUN_ON_FAILURE:
            is_new = observed.status.run_strategy != RunStrategy.RERUN_ON_FAILURE
            return Wanted(requests, start=start_requested or is_new, waits_for_backoff=True)
        case RunStrategy.MANUAL:
            return Wanted(requests, start=start_requested)
        case RunStrategy.ONCE:
            return Wanted(requests, start=True)
        case RunStrategy.HALTED:
            return Wanted(requests, run_always=first is not None and first.starts_paused)
        case _:
            return Wanted(requests)


def _pending(observed: Observed) -> tuple[StateChangeRequest, ...]:
    """stateChangeRequests without those that are done: a stop whose VirtualMachineInstance is gone, a start that has
    one.

    KubeVirt looks at the first one only, so what is behind it waits.
    """
    requests = tuple(observed.status.state_change_requests)
    while requests and (_is_done(requests[0], observed) or _is_withdrawn(requests[0], observed)):
        requests = requests[1:]
    return requests


def _is_withdrawn(request: StateChangeRequest, observed: Observed) -> bool:
    """A paused start was tried and failed, and then somebody wrote Halted by hand, which ends it. Otherwise the request
    would write Always again. A new request takes the failure away (virt-api)."""
    if observed.strategy is not RunStrategy.HALTED or not request.starts_paused:
        return False
    has_failed = any(condition.type == "Failure" for condition in observed.status.conditions)
    return has_failed or observed.status.start_failure is not None


def _is_done(request: StateChangeRequest, observed: Observed) -> bool:
    vmi, strategy = observed.own, observed.strategy
    if request.is_start:
        if vmi is None:
            return False
        if vmi.metadata.deletion_timestamp is not None:
            return _was_started(vmi, observed)
        # A start that is to replace a guest that has ended stands behind its stop. Only a failed guest is started again
        # without one: by Always, and by RerunOnFailure's own request.
        shut_down = vmi.status.phase is VmiPhase.SUCCEEDED and strategy is RunStrategy.RERUN_ON_FAILURE
        return strategy is RunStrategy.MANUAL or shut_down or not vmi.status.phase.final
    if request.action == "Stop":
        return vmi is None or request.uid != vmi.metadata.uid
    return True  # an action that nobody knows would hold every later one


def _was_started(vmi: VirtualMachineInstance, observed: Observed) -> bool:
    """Whether a deleted VirtualMachineInstance is what the waiting start made, so that it was deleted before the start
    was recorded. One that the start is to follow is older than the request; a failed one is started again."""
    by_request = observed.strategy in (RunStrategy.MANUAL, RunStrategy.RERUN_ON_FAILURE)
    fails = observed.strategy is RunStrategy.RERUN_ON_FAILURE and vmi.status.phase is VmiPhase.FAILED
    return by_request and not fails and is_later(vmi.metadata, observed.vm.metadata)


def restarts_by_itself(strategy: RunStrategy) -> bool:
    """Whether a guest that fails is started again without a user, so that a crash loop needs a back-off."""
    return strategy in _RESTARTS_BY_ITSELF
