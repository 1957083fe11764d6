"""Whether a copy has stalled: it holds a place of the cluster's, and nobody ends it. Pure; called by follow.py.

The source's launcher ends a copy that takes too long. If it hangs, or its libvirtd or the target does, it ends nothing,
and where the guest runs is for the launchers to find out. So the migration goes on and its guest gets no other one; it
only counts no more against the limits of cluster and nodes (limits.py), until it makes progress again.
"""

from __future__ import annotations

from math import ceil

from virt_core.migration.migration import STALLED, MigrationPhase
from virt_core.objects.meta import Condition, seconds_since
from virt_core.vmi.accepted import AcceptedSpec

from virt_controller.migration.observe import Observed

# Seconds. A launcher, libvirtd or handler that restarts is back long before.
_PATIENCE = 300.0
_PATIENCE_AT_LIMIT = 600.0
_LONGEST = 24 * 3600.0  # whatever size the launcher reports
_CONSEQUENCE = "the migration does not count against the limits of parallel migrations any more"
_CANCEL, _CANCELED = (
    "delete it to cancel the copy",
    "its cancel was requested, and if that does not end the copy, delete the target pod",
)
_BILLION = 10**9  # KubeVirt's "GiB" of completionTimeoutPerGiB


def of(observed: Observed) -> Condition | None:
    """The condition of a copy that has stalled; None: it has not."""
    without, limit = _without_progress(observed), _limit(observed)
    node = observed.state.source_node if observed.state is not None else ""
    if limit and _elapsed(observed) >= limit:
        reason, why = "TimeLimit", f"the source's launcher on node {node} has not ended the copy within {limit:.0f} s"
    elif _quiet(observed) >= without:
        reason = "NoProgress"
        why = f"the source's launcher on node {node} has reported no progress of the copy for more than {without:.0f} s"
    else:
        return None
    way_out = _CANCELED if observed.canceled else _CANCEL
    return Condition(STALLED, "True", reason, f"{why}: {_CONSEQUENCE}; {way_out}")


def seconds_left(observed: Observed) -> float:
    """How long until a copy that makes no progress has stalled; 0: it has, or is not noted yet."""
    left, limit = _without_progress(observed) - _quiet(observed), _limit(observed)
    return max(0.0, min(left, limit - _elapsed(observed)) if limit else left)


def _elapsed(observed: Observed) -> float:
    """Seconds since the copy was noted, by this component's clock."""
    return seconds_since(observed.job.status.entered(MigrationPhase.RUNNING), observed.now)


def _quiet(observed: Observed) -> float:
    """Seconds without progress. A handler writes what has changed alone."""
    stored = observed.vmi.raw_status.get("migrationState") if observed.vmi is not None else None
    shown = (stored or {}).get("progress")
    moment = shown.get("timestamp") if isinstance(shown, dict) else None
    elapsed = _elapsed(observed)
    return min(elapsed, seconds_since(moment, observed.now)) if isinstance(moment, str) else elapsed


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
