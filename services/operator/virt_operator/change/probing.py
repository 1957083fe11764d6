"""When a new pod is probed, and when it has failed. Pure; called by waves.py, replicas.py, leading.py and
latecomers.py.

A pod is probed once it is ready, once. Only a failed attempt is repeated, for a limited time: right after its start a
pod may not have connected to everything yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from virt_core.objects.meta import seconds_since

from virt_operator.change import rollout
from virt_operator.change.situation import Situation
from virt_operator.peers.answer import suite_pods
from virt_operator.suite.actions import Prove, ProveWork
from virt_operator.suite.observed import Fault, Observed, PodObject, Probed

PATIENCE = timedelta(seconds=30)
"""From the first attempt to the last one."""

READY_WITHIN = timedelta(minutes=5)
"""From the begin of its wave, a pod that has to pull its image included."""

_INTERVAL = timedelta(seconds=2)  # between two attempts


@dataclass(frozen=True, slots=True)
class Proof:
    """What is known of a new pod. Without action, wait and fault it is proven."""

    wait: str = ""
    """What is waited for."""

    action: Prove | ProveWork | None = None
    fault: Fault | None = None
    """Why the pod has failed for good."""

    deadline: datetime | None = None
    """When to look again."""


def proof_of(
    situation: Situation, pod: PodObject, since: str, excused: frozenset[str] = frozenset(), *, lenient: bool = False
) -> Proof:
    """The proof of a new pod that was awaited `since`, in RFC 3339; the launchers of `excused` guests do not count.
    With `lenient`, or on a way back, its release may lack probes."""
    if not pod.ready:
        trouble = rollout.trouble([pod])
        return late(situation, since, f"pod {pod.metadata.name} is not ready{trouble}")
    found = next(iter(suite_pods([pod])), None)
    if found is None:
        return Proof(f"pod {pod.metadata.name} has ended")
    release, level = situation.strategy.release, situation.strategy.feature_level
    lenient = lenient or situation.backward
    action = Prove(found, pod.metadata.uid, release, level, lenient=lenient, excused=excused)
    return _next_attempt(situation.observed.now, action, situation.observed.probes.get(pod.metadata.uid))


def work_of(situation: Situation, pod: PodObject) -> Proof:
    """The proof that a new pod, which has answered, does the work of its component."""
    found = next(iter(suite_pods([pod])), None)
    if found is None:
        return Proof(f"pod {pod.metadata.name} has ended")
    action = ProveWork(found, pod.metadata.uid, situation.suite.reference)
    return _next_attempt(situation.observed.now, action, situation.observed.works.get(pod.metadata.uid))


def _next_attempt(now: datetime, action: Prove | ProveWork, known: Probed | None) -> Proof:
    name = action.pod.name
    if known is None:
        with_guest = " with a guest" if isinstance(action, ProveWork) else ""
        return Proof(f"pod {name} is being probed{with_guest}", action)
    if known.fault is None:
        return Proof()
    if known.last - known.first >= PATIENCE:
        return Proof(fault=known.fault)
    wait = f"pod {name} failed a probe: {known.fault.probe}: {known.fault.message}"
    due = known.last + _INTERVAL
    return Proof(wait, deadline=due) if now < due else Proof(wait, action)


def is_late(situation: Situation, since: str) -> bool:
    """Whether a pod that was awaited `since` should be ready."""
    return _waited(situation.observed, since) >= READY_WITHIN


def late(situation: Situation, since: str, why: str) -> Proof:
    """A pod that is not there or not ready: it fails if that lasts."""
    left = READY_WITHIN - _waited(situation.observed, since)
    if left <= timedelta(0):
        minutes = int(READY_WITHIN.total_seconds() // 60)
        return Proof(fault=Fault("Ready", f"after {minutes} minutes {why}"))
    return Proof(why, deadline=situation.observed.now + left)


def _waited(observed: Observed, since: str) -> timedelta:
    """How long it could be seen that a pod does not become ready."""
    waited = timedelta(seconds=seconds_since(since, observed.now))
    return min(waited, observed.now - observed.able_since) if observed.able_since is not None else waited
