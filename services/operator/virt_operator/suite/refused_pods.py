"""Pods of the suite that the API server refuses to create: a quota, a policy, a webhook of others. Pure.

A Deployment says so in its condition ReplicaFailure. A DaemonSet and a Job say it in events only, so they get the same
condition here, from the events that reconcile/refused_pods.py reads while pods are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

import msgspec
from virt_core.conventions import labels
from virt_core.objects.event import Event
from virt_core.objects.meta import seconds_since

from virt_operator.strategy.install_strategy import is_planned
from virt_operator.strategy.ref import Ref
from virt_operator.suite.observed import Observed, OwnedObject

FAILURE = "ReplicaFailure"
"""Kubernetes' condition of a Deployment whose pods cannot be created."""

_JOB = "job-name"  # Kubernetes' label on the pods of a Job
_FAILED = ("FailedCreate", "FailedDaemonPod")
_FRESH = 20 * 60.0  # seconds: Kubernetes' controllers try again at least every 17 minutes
_PREFIX = "Error creating: "


def short_of_pods(observed: Observed) -> tuple[Ref, ...]:
    """The DaemonSets and Jobs of the suite that have fewer pods than they should."""
    return tuple(ref for ref, live in sorted(observed.owned.items()) if _is_short(observed, ref, live))


def refusal_in(events: Iterable[Event], now: datetime) -> str:
    """Why pods of an object cannot be created, by its warnings; "" if they do not say it."""
    found = [event for event in events if event.reason in _FAILED and seconds_since(event.last_seen, now) < _FRESH]
    newest = max(found, key=lambda event: event.last_seen, default=None)
    return newest.note.removeprefix(_PREFIX) if newest is not None else ""


def with_refusals(observed: Observed, refusals: Mapping[Ref, str]) -> Observed:
    """`observed` with a condition for each object whose pods are refused."""
    refused = {ref: _refused(observed.owned[ref], why) for ref, why in refusals.items() if why}
    return replace(observed, owned={**observed.owned, **refused}) if refused else observed


def _is_short(observed: Observed, ref: Ref, live: OwnedObject) -> bool:
    if ref.kind == "DaemonSet":
        return _pods(observed, labels.APP, ref.name) < int(live.status.get("desiredNumberScheduled") or 0)
    if ref.kind != "Job" or is_planned(ref.name) or live.condition("Complete").get("status") == "True":
        return False
    return _pods(observed, _JOB, ref.name) == 0


def _pods(observed: Observed, label: str, value: str) -> int:
    """How many pods have the label and stay."""
    staying = (pod.metadata for pod in observed.pods if pod.metadata.deletion_timestamp is None)
    return sum(meta.labels.get(label) == value for meta in staying)


def _refused(live: OwnedObject, why: str) -> OwnedObject:
    others = [found for found in live.status.get("conditions") or () if found.get("type") != FAILURE]
    condition = {"type": FAILURE, "status": "True", "message": why}
    return msgspec.structs.replace(live, status={**live.status, "conditions": [*others, condition]})
