"""Whether a copy has stalled: it holds a place of the cluster's, and nobody ends it. Pure; called by follow.py.

The source's launcher ends a copy that takes too long. If it hangs, or its libvirtd or the target does, it ends nothing,
and where the guest runs is for the launchers to find out. So the migration goes on and its guest gets no other one; it
only counts no more against the limits of cluster and nodes (limits.py), until it makes progress again. Time is counted
by this leader alone (copies.py); a new one keeps the condition that it finds until it sees progress.
"""

from __future__ import annotations

from datetime import datetime
from math import ceil

from virt_core.migration.migration import STALLED
from virt_core.objects.meta import Condition, condition_of, seconds_since, seconds_until
from virt_core.vmi.accepted import AcceptedSpec

from virt_controller.migration.observe import Observed

# Seconds. A launcher, libvirtd or handler that restarts is back long before.
_PATIENCE = 300.0
_PATIENCE_AT_LIMIT = 600.0
_LATE = 10.0  # a handler reports progress every other second, and nothing while it is replaced
_LONGEST = 24 * 3600.0  # whatever size the launcher reports
_TIME_LIMIT = "TimeLimit"
_CONSEQUENCE = "the migration does not count against the limits of parallel migrations any more"
_BILLION = 10**9  # KubeVirt's "GiB" of completionTimeoutPerGiB


def of(observed: Observed) -> Condition | None:
    """The condition of a copy that has stalled; None: it has not."""
    without, limit, copy = _without_progress(observed), _limit(observed), observed.copy
    node = observed.state.source_node if observed.state is not None else ""
    known = _known(observed)
    if limit and (copy.elapsed >= limit or known == _TIME_LIMIT):
        reason, why = _TIME_LIMIT, f"the source's launcher on node {node} has not ended the copy within {limit:.0f} s"
    elif copy.quiet >= without or (known and not copy.moved):
        reason = "NoProgress"
        why = f"the source's launcher on node {node} has reported no progress of the copy for more than {without:.0f} s"
    else:
        return None
    return Condition(STALLED, "True", reason, f"{why}: {_CONSEQUENCE}; {_way_out(observed)}")


def _way_out(observed: Observed) -> str:
    """What an administrator can do. Nothing is deleted here: nobody can say from outside whether a pod whose launcher
    hangs has given the guest up, and then all that is left of it is in the other one."""
    state, vmi = observed.state, observed.vmi
    if state is None or vmi is None:
        return "delete it to cancel the copy"
    source, target = f"source pod {state.source_pod}", f"target pod {state.target_pod}"
    if state.source_switched:
        return (
            f"the source has given the guest up, and it goes on in {target} when that answers: do not delete {target}; "
            f"if the other one hangs, delete {source}"
        )
    if state.target_pod_uid not in vmi.status.active_pods:
        return f"{target} has ended; if {source} does not end the copy, delete {source}, which ends the guest"
    if observed.canceled:
        return f"its cancel was requested, and if that does not end the copy, delete {target}"
    return "delete it to cancel the copy"


def seconds_left(observed: Observed) -> float:
    """How long until a copy that makes no progress has stalled; 0: it has."""
    left, limit = _without_progress(observed) - observed.copy.quiet, _limit(observed)
    return max(0.0, min(left, limit - observed.copy.elapsed) if limit else left)


def seconds_expected(observed: Observed) -> float | None:
    """How long until the end that the handler expects has passed without progress; None: it expects none. By the
    handler's clock it is so long after the time of the numbers, by this component's after they were seen."""
    shown = (observed.vmi.raw_status.get("migrationState") or {}).get("progress") if observed.vmi is not None else None
    if not isinstance(shown, dict) or not isinstance(shown.get("expectedEnd"), str):
        return None
    expected = _ahead(shown["expectedEnd"], observed.now) - _ahead(str(shown.get("timestamp")), observed.now)
    return max(0.0, expected + _LATE - observed.copy.quiet)


def _ahead(moment: str, now: datetime) -> float:
    return seconds_until(moment, now) - seconds_since(moment, now)


def _known(observed: Observed) -> str:
    """The reason for which the copy has stalled, as stored, maybe by a leader before this one; empty: it has not."""
    found = condition_of(observed.job.status.conditions, STALLED)
    return found.reason if found is not None and found.status == "True" else ""


def _without_progress(observed: Observed) -> float:
    """How long a copy may make no progress: its launcher aborts it after progressTimeout."""
    settings = observed.state.migration_configuration.resolved() if observed.state is not None else None
    return ((settings.progress_timeout if settings is not None else None) or 0) + _PATIENCE


def _limit(observed: Observed) -> float:
    """How long a copy may take: twice its time limit, if its guest is suspended meanwhile; 0: for ever."""
    state, spec = observed.state, observed.spec
    if state is None or not isinstance(spec, AcceptedSpec):
        return 0.0
    per_billion = state.migration_configuration.resolved().completion_timeout_per_gib or 0
    size = ceil((spec.memory_bytes + sum(state.source_disks.values())) / _BILLION)
    return min(2.0 * per_billion * size + _PATIENCE_AT_LIMIT, _LONGEST) if per_billion else 0.0
