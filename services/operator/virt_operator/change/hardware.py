"""What both releases know of hardware, as long as the way back is open. Pure; called by steps.py.

A Job prints it (strategy/hardware_job.py). It begins together with the Job that prints the strategy, and is waited for
only when virt-handler is new and virt-controller is not: a guest gets the new launcher from the new virt-controller
only. If it is not known after two minutes in which nothing else is waited for, the update goes on and the way back says
so: then aliases are what the new QEMU makes of them, and such a guest cannot go back while it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec
from virt_core.conventions import components
from virt_core.conventions.suite_status import UPDATE
from virt_core.objects.meta import moment_of, rfc3339
from virt_core.objects.upgrade_status import WayBack

from virt_operator.change.situation import Progress, Situation
from virt_operator.change.stopping import coming_back
from virt_operator.images.outcome import outcome
from virt_operator.strategy.hardware_job import AFTER, BEFORE, PAIR, hardware_job
from virt_operator.strategy.ref import Body, ref_of
from virt_operator.suite.actions import Action, Apply, Delete, ReadRecords, WaitFor
from virt_operator.suite.hypervisor import Hypervisor, newest
from virt_operator.suite.observed import OwnedObject, PodObject

STEP = "Hardware"
WITHIN = timedelta(minutes=2)
_LONGEST = 512  # characters of a reason


def begun(situation: Situation) -> tuple[Action, ...]:
    """Start the Job early, while the strategy is being printed. Whether the target is newer is not known yet."""
    settings, status, back = situation.settings, situation.suite.status, situation.way_back
    installed = status.observed_kube_virt_version
    if settings is None or situation.stopped is not None or not installed or settings.tag == installed:
        return ()
    if back is not None and settings.tag == back.version:
        return ()
    return _started(situation, _job(situation))


def hardware(situation: Situation, earlier: Progress) -> Progress:
    """Learn and record it."""
    back, installed = situation.way_back, situation.suite.status.observed_release
    if back is None or situation.operation != UPDATE or situation.stopped is not None:
        return Progress()
    if situation.strategy.release in (installed, back.release):
        return Progress()  # other settings of a release that has been asked, or back to it
    body = _job(situation)
    back = msgspec.structs.replace(back, hardware_of=body["metadata"]["labels"][PAIR])
    if situation.way_back == back and back.hardware_at:
        return Progress()
    live, pod = situation.observed.owned.get(ref_of(body)), _pod(situation, body)
    records = situation.observed.records.get(pod.metadata.uid) if pod is not None else None
    if records is not None:
        return _recorded(_with(back, records, situation.observed.now))
    until, why = _until(situation, earlier), _why(pod)
    if (until is not None and situation.observed.now >= until) or (pod is not None and _has_failed(pod)):
        return _recorded(_unknown(back, why, situation.observed.now))
    limit = f"; goes on without it at {rfc3339(until)}" if until is not None else ""
    wait = WaitFor(str(ref_of(body)), why + limit)
    return Progress(_next(situation, body, live, pod), (wait,), deadline=until)


def _next(situation: Situation, body: Body, live: OwnedObject | None, pod: PodObject | None) -> tuple[Action, ...]:
    if live is None:
        return _started(situation, body)
    if pod is None:
        over = any(live.condition(kind).get("status") == "True" for kind in ("Complete", "Failed"))
        return (Delete(ref_of(body), live.metadata.uid, "its pod is gone"),) if over else ()
    ended = outcome([pod]).ended
    return (ReadRecords(pod.metadata.name, pod.metadata.uid),) if ended >= {BEFORE, AFTER} else ()


def _recorded(known: WayBack) -> Progress:
    why = "what both releases know of hardware is being recorded"
    return Progress(waits=(WaitFor("KubeVirt object", why),), way_back=known)


def _started(situation: Situation, body: Body) -> tuple[Action, ...]:
    ref = ref_of(body)
    return (Apply(ref, body, "absent"),) if ref not in situation.observed.owned else ()


def _job(situation: Situation) -> Body:
    """For the launcher's image of the release to go back to, and the target's."""
    settings, back = situation.settings, situation.way_back
    assert settings is not None
    before = coming_back(situation.suite, settings)
    if back is not None and back.deployment_id != situation.suite.status.observed_deployment_id:
        before = msgspec.structs.replace(before, registry=back.registry, tag=back.version, digests={})
    return hardware_job(before.image(components.LAUNCHER), settings)


def _pod(situation: Situation, body: Body) -> PodObject | None:
    wanted = body["metadata"]["labels"][PAIR]
    pods = [pod for pod in situation.observed.pods if pod.metadata.labels.get(PAIR) == wanted]
    return max(pods, key=lambda pod: pod.metadata.creation_timestamp, default=None)


def _until(situation: Situation, earlier: Progress) -> datetime | None:
    """When the update goes on without it; None while it waits for something else as well."""
    if earlier.waits:
        return None
    upgrade = situation.suite.status.change
    since = moment_of(upgrade.since) if upgrade is not None and upgrade.step == STEP else None
    return (since or situation.observed.now) + WITHIN


def _why(pod: PodObject | None) -> str:
    """What is known of the reason why nothing is known."""
    if pod is None:
        return "its pod is not there yet"
    found = outcome([pod])
    texts = [trouble.message for _, trouble in sorted(found.troubles.items())]
    texts += [f"container {name}: {why}" for name, why in sorted(found.waiting.items()) if name not in found.troubles]
    images = {container["name"]: container.get("image", "") for container in pod.spec.get("containers") or ()}
    named = ", ".join(image for name, image in sorted(images.items()) if name in (*found.troubles, *found.waiting))
    return f"{'; '.join(texts)} (image {named})" if texts else "its output is being read"


def _has_failed(pod: PodObject) -> bool:
    return pod.ended and bool(outcome([pod]).troubles)


def _unknown(back: WayBack, why: str, now: datetime) -> WayBack:
    """The way back without what earlier launchers have printed."""
    return msgspec.structs.replace(
        back,
        hardware_at=rfc3339(now),
        hardware_unknown=why[:_LONGEST],
        machine_types={},
        known_machine_types=[],
        cpu_models=[],
        cpu_features=None,
    )


def _with(back: WayBack, records: Mapping[str, Hypervisor | str], now: datetime) -> WayBack:
    """The way back with what both records have."""
    before, after = records.get(BEFORE, "no output"), records.get(AFTER, "no output")
    if isinstance(before, str) or isinstance(after, str):
        texts = [f"container {name}: {text}" for name, text in sorted(records.items()) if isinstance(text, str)]
        return _unknown(back, "; ".join(texts), now)
    types = before.machine_types & after.machine_types - {*before.aliases, *after.aliases}
    features = None if before.cpu_features is None or after.cpu_features is None else before.cpu_features
    return msgspec.structs.replace(
        back,
        hardware_at=rfc3339(now),
        hardware_unknown="" if types else "no machine type is known to both",
        machine_types=dict.fromkeys(sorted({*before.aliases, *after.aliases}), newest(types)) if types else {},
        known_machine_types=sorted(before.machine_types - before.aliases),
        cpu_models=sorted(before.cpu_models & after.cpu_models),
        cpu_features=None if features is None else sorted(features & (after.cpu_features or frozenset())),
    )
