"""Ends the way back: decides when an upgrade is finalized, and what it waits for. Pure; a step of steps.py.

Nothing waits for this step. It comes last and acts when the update is complete, so that the cluster's feature level
rises when every pod of a component on every node that exists is of a release that has it. Launchers do not count: each
is asked what it can do.

What has to wait until no roll back is open any more begins here, before the level rises (`owed`): the storage version
of a kind, for example, once it has two. Behaviour that needs the level asks KubeVirtStatus.may_use.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec
from virt_core.conventions import components
from virt_core.conventions.labels import FINALIZE_UPGRADE
from virt_core.conventions.suite_status import IN_PROGRESS, OLD_RELEASE_LIVES, SOAKING, WAITING_FOR_ADMINISTRATOR
from virt_core.objects.meta import condition_of, moment_of, rfc3339
from virt_core.objects.upgrade_status import WayBack, finalizing

from virt_operator.change import rollout, succession
from virt_operator.change.situation import PAUSED_BY, Progress, Situation
from virt_operator.change.way_back import has_ended, is_asked_for
from virt_operator.strategy.ref import WORKLOADS
from virt_operator.suite.observed import PodObject
from virt_operator.suite.plan import Finalization

_NAMED = 5  # pods in a message


def finalize(situation: Situation, earlier: Progress) -> Progress:
    """The last step of a complete update."""
    back = situation.way_back
    if has_ended(situation):
        return Progress(way_back_ends=True)
    if back is None or situation.operation or situation.stopped is not None:
        return Progress()
    if earlier.waits or earlier.actions:
        return Progress(finalization=_held(back, IN_PROGRESS, _unfinished(earlier)))
    if not back.proven_at:
        back = msgspec.structs.replace(back, proven_at=rfc3339(situation.observed.now))
    return _decided(situation, back)


def _decided(situation: Situation, back: WayBack) -> Progress:
    until = None if is_asked_for(situation) else _until(situation, back)
    manual = situation.finalizing.manual or situation.pace.paused
    if until is not None and (manual or situation.observed.now < until):
        waiting = _waiting(situation, back, until)
        deadline = None if manual else until
        return Progress(way_back=_refusing(back, []), finalization=waiting, deadline=deadline)
    living = [f"{_described(pod)} is of the release before, or of an older template" for pod in _of_before(situation)]
    if living:
        more = f"; and {len(living) - _NAMED} more" if len(living) > _NAMED else ""
        listed = "; ".join(living[:_NAMED]) + more
        message = f"{listed}; wait until it is replaced, or delete its node if that does not return"
        return Progress(way_back=_refusing(back, living[:_NAMED]), finalization=_held(back, OLD_RELEASE_LIVES, message))
    due = owed(situation)
    if due.waits or due.actions:
        return due.and_then(Progress(finalization=_held(back, IN_PROGRESS, _unfinished(due))))
    return Progress(way_back_ends=True)


def owed(_: Situation) -> Progress:
    """What the end of the way back is owed before the level rises: actions, and waits until they have taken effect.
    Today every kind has one stored version, so there is nothing."""
    return Progress()


def in_progress(back: WayBack) -> Finalization:
    """While a change keeps this step from acting."""
    return _held(back, IN_PROGRESS, "a change is in progress")


def _held(back: WayBack, reason: str, message: str) -> Finalization:
    return Finalization(reason, f"a roll back to {back.version} is open: {message}")


def _unfinished(progress: Progress) -> str:
    wait = next(iter(progress.waits), None)
    return f"waiting for {wait.what}: {wait.why}" if wait is not None else "objects are being written"


def _until(situation: Situation, back: WayBack) -> datetime:
    """When the soak ends. It begins again when the suite is no longer degraded."""
    degraded = condition_of(situation.suite.status.conditions, "Degraded")
    begins = moment_of(back.proven_at) or situation.observed.now
    if degraded is None or degraded.status != "False":
        begins = situation.observed.now
    elif (since := moment_of(degraded.last_transition_time or "")) is not None:
        begins = max(begins, since)
    return begins + situation.finalizing.soak


def _waiting(situation: Situation, back: WayBack, until: datetime) -> Finalization:
    meta, version = situation.suite.metadata, situation.suite.status.observed_kube_virt_version
    value = finalizing(version, back.since)
    command = f"kubectl -n {meta.namespace} annotate kv {meta.name} --overwrite {FINALIZE_UPGRADE}={value}"
    if situation.finalizing.manual or situation.pace.paused:
        why = "spec.upgradeStrategy.finalize is Manual" if situation.finalizing.manual else PAUSED_BY
        return _held(back, WAITING_FOR_ADMINISTRATOR, f"{why}; to finalize: {command}")
    return _held(back, SOAKING, f"{version} is finalized at {rfc3339(until)}; to finalize now: {command}")


def _refusing(back: WayBack, refusals: list[str]) -> WayBack:
    return msgspec.structs.replace(back, refusals=refusals)


def _of_before(situation: Situation) -> Iterator[PodObject]:
    """Pods of components that are not of what is installed, on nodes that exist: one that is unreachable may come
    back."""
    observed = situation.observed
    for state in situation.objects:
        if state.ref.kind in WORKLOADS and state.ref.name in components.INSTALLED:
            template_hash = rollout.template_hash_of(state.body)
            yield from filter(situation.exists, rollout.outdated(_living(observed.pods, state.ref.name), template_hash))
    images = succession.images(observed)
    for pod in _living(observed.operator_pods, components.OPERATOR):
        own = [container.get("image", "") for container in pod.spec.get("containers") or ()]
        if images and not set(own) & set(images) and situation.exists(pod):
            yield pod


def _living(pods: tuple[PodObject, ...], component: str) -> list[PodObject]:
    return [pod for pod in rollout.pods_of(component, pods) if not pod.ended]


def _described(pod: PodObject) -> str:
    return f"pod {pod.metadata.name} on node {pod.node}" if pod.node else f"pod {pod.metadata.name}"
