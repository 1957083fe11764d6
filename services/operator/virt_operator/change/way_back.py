"""The way back to the release before, open from the begin of an update until it is finalized. Pure.

Called by steps.py and plan.py. It is recorded in status.upgrade before any component is touched, because the update
removes its traces. An update of one that has not been finalized keeps it: what has been promised to go back to the
oldest release can still do so, also if the newest release is a correction of the one between.
"""

from __future__ import annotations

import msgspec
from virt_core.conventions.labels import FINALIZE_UPGRADE
from virt_core.conventions.suite_status import CHANGES, UPDATE
from virt_core.objects.meta import rfc3339
from virt_core.objects.upgrade_status import FIRST_LEVEL, WayBack, finalizing

from virt_operator.change.situation import Situation
from virt_operator.change.versions import is_older


def opened(situation: Situation) -> WayBack | None:
    """The way back that an update opens, or opens again; None if there is nothing to record."""
    if situation.operation != UPDATE or situation.stopped is not None:
        return None
    back, status = situation.way_back, situation.suite.status
    if status.observed_release in ("", situation.strategy.release):
        return None  # other images or settings of the same release
    if back is not None and back.release == situation.strategy.release:
        return None  # back to it, by a name or a build whose age cannot be compared
    if back is not None:
        return msgspec.structs.replace(back, proven_at="", ledger=[], refusals=[]) if back.proven_at else None
    return WayBack(
        version=status.observed_kube_virt_version,
        registry=status.observed_kube_virt_registry,
        release=status.observed_release,
        level=situation.level or FIRST_LEVEL,
        deployment_id=status.observed_deployment_id,
        since=rfc3339(situation.observed.now),
    )


def has_ended(situation: Situation) -> bool:
    """Whether the release is installed to which the way leads, or one before it."""
    back = situation.way_back
    if back is None or situation.operation:
        return False
    release = situation.strategy.release
    return release == back.release or is_older(release, back.release)


def refusal(situation: Situation) -> str:
    """Why a change may not begin: what is finalized may depend on a feature level that its target has not. "" if it
    may."""
    if situation.operation not in CHANGES or situation.stopped is not None:
        return ""
    back, strategy = situation.way_back, situation.strategy
    lowest = back.level if back is not None else situation.level
    if strategy.feature_level >= lowest:
        return ""
    assert situation.settings is not None
    status = situation.suite.status
    return (
        f"{situation.settings.tag} (release {strategy.release}) has feature level {strategy.feature_level}, but the "
        f"cluster has been finalized at level {lowest}: objects and guests may depend on it, so nothing is begun; set "
        f"spec.imageTag to {status.observed_kube_virt_version}, which is installed, or to another release of level "
        f"{lowest} or higher"
    )


def level(situation: Situation, back: WayBack | None) -> int:
    """The cluster's feature level while this way back is open, or none; 0: unknown. A change never lowers it, because
    what has less is refused; only the end of a way back or a complete change raises it."""
    if back is not None:
        return back.level
    if situation.search.strategy is None or situation.operation in CHANGES:
        return situation.level
    return situation.strategy.feature_level


def is_asked_for(situation: Situation) -> bool:
    """Whether the annotation asks to finalize what is installed: this upgrade, or any one if it has not done so yet."""
    value, status, back = _asked(situation), situation.suite.status, situation.way_back
    if back is not None and value in [finalizing(name, back.since) for name in _installed(situation)]:
        return True
    done = status.upgrade.finalized_by if status.upgrade is not None else ""
    return value != done and value in _installed(situation)


def spent(situation: Situation, back: WayBack | None) -> str:
    """The annotation's value, if what it asks for has been done: the next upgrade to the same tag has its own time. It
    is kept, because the annotation may be in a repository and stay. `back` is the way back after this pass."""
    value, upgrade = _asked(situation), situation.suite.status.upgrade
    if back is None and not situation.operation and value in _installed(situation):
        return value
    before = upgrade.finalized_by if upgrade is not None else ""
    return before if before == value else ""


def _asked(situation: Situation) -> str:
    return situation.suite.metadata.annotations.get(FINALIZE_UPGRADE, "")


def _installed(situation: Situation) -> list[str]:
    status = situation.suite.status
    return [name for name in (status.observed_kube_virt_version, status.observed_release) if name]
