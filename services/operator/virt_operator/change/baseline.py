"""What the old handlers of a wave say before they are replaced. Pure; called by waves.py.

A guest whose launcher does not answer the old handler either says nothing of the new one. So it is asked first, once;
the answer is written into status.upgrade together with the wave, before the first pod of it is deleted. What an old
handler does not see counts: a handler that works sees it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from virt_core.objects.upgrade_status import SilentGuest, Wave

from virt_operator.change.situation import Situation
from virt_operator.peers.answer import suite_pods
from virt_operator.suite.actions import SurveyGuests, WaitFor
from virt_operator.suite.observed import PodObject

_FRESH = timedelta(minutes=1)  # the last answer of a wave
_OLDEST = timedelta(minutes=10)  # the first one: so long it may take to ask all of a big wave
_MOST = 100  # guests in the status; what is beyond counts against the new handler
_NAMED = 3


def unknown(situation: Situation, pods: Iterable[PodObject]) -> tuple[SurveyGuests, ...]:
    """The questions that are left to ask before these pods are replaced. A pod that is not ready is not asked. Not all
    are asked at once, so the answers count together, until the last of them is old."""
    now, ready = situation.observed.now, [pod for pod in pods if pod.ready]
    ages = {uid: now - survey.at for uid, survey in situation.observed.surveys.items()}
    known = {pod.metadata.uid: ages[pod.metadata.uid] for pod in ready if pod.metadata.uid in ages}
    limit = _OLDEST if min(known.values(), default=_FRESH) < _FRESH else _FRESH
    left = [pod for pod in ready if known.get(pod.metadata.uid, limit) >= limit]
    return tuple(SurveyGuests(found, pod.metadata.uid) for pod in left for found in suite_pods([pod]))


def silent(situation: Situation, pods: Iterable[PodObject], wave: Wave | None) -> list[SilentGuest]:
    """The guests that prove nothing: of these pods, and those known from earlier waves."""
    found = {guest.uid: guest for guest in wave.silent} if wave is not None else {}
    for pod in pods:
        known = situation.observed.surveys.get(pod.metadata.uid)
        found.update({guest.uid: guest for guest in known.silent} if known is not None else {})
    return sorted(found.values(), key=lambda guest: guest.object)[:_MOST]


def warnings(wave: Wave | None) -> tuple[WaitFor, ...]:
    """Names the guests that prove nothing. Nothing waits for them."""
    guests = wave.silent if wave is not None else []
    named = [_warning(guest) for guest in guests[:_NAMED]]
    if len(guests) > _NAMED:
        named.append(WaitFor(f"{len(guests) - _NAMED} more VirtualMachineInstances", "as these, see status.upgrade"))
    return tuple(named)


def _warning(guest: SilentGuest) -> WaitFor:
    words = f" ({guest.message})" if guest.message else ""
    why = f"its launcher did not answer before its virt-handler was replaced{words}, so it is not probed; restart it"
    return WaitFor(f"VirtualMachineInstance {guest.object}", why)
