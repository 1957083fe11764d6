"""How long a VirtualMachineInstance that has ended keeps its place before it is replaced. Pure; called by plan.py.

A guest that runs for a while and ends is replaced at once. Lives that are short in a row become rarer, like restarts of
a crashing container. Everything is in the objects: the one that has ended stays until it is replaced, and says by an
annotation how many preceded it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from virt_core.replica_set.replica_set import ReplicaSetSpec
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase

from virt_controller.failure import credible
from virt_controller.replica_set.instance import short_lives_before

_FIRST, _LAST = 10.0, 300.0  # seconds, as for starts of VirtualMachines
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_STEADY = 300.0  # seconds that a guest runs after which its end is no crash loop


def short_lives(vmi: VirtualMachineInstance, spec: ReplicaSetSpec) -> int:
    """How many lives in a row were short, that of this finished VirtualMachineInstance included; 0 if it was not."""
    began = _moment(vmi, VmiPhase.RUNNING)
    if began is not None and (_end(vmi) - began).total_seconds() >= _STEADY:
        return 0
    return short_lives_before(vmi, spec) + 1


def seconds_to_replacement(vmi: VirtualMachineInstance, spec: ReplicaSetSpec, now: datetime) -> float:
    """The seconds from `now`; 0 or less: now. The first short life of a row is replaced at once, whatever the clock of
    its node says, and so is one that would wait longer than any back-off: that clock is wrong."""
    if short_lives(vmi, spec) <= 1:
        return 0.0
    return credible((replacement_time(vmi, spec) - now).total_seconds(), _LAST)


def replacement_time(vmi: VirtualMachineInstance, spec: ReplicaSetSpec) -> datetime:
    """When a finished one is replaced: each short life of a row later than the one before."""
    repeated = max(0, short_lives(vmi, spec) - 1)
    return _end(vmi) + timedelta(seconds=min(_FIRST * repeated * repeated, _LAST))


def _end(vmi: VirtualMachineInstance) -> datetime:
    """When it ended. If its status does not say so, when it was created: it cannot have ended earlier."""
    return _moment(vmi, vmi.status.phase) or _time(vmi.metadata.creation_timestamp) or _LONG_AGO


def _moment(vmi: VirtualMachineInstance, phase: VmiPhase) -> datetime | None:
    moments = vmi.status.phase_transition_timestamps
    found = (moment for moment in moments if moment.get("phase") == phase.value)
    return _time(next(found, {}).get("phaseTransitionTimestamp", ""))


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
