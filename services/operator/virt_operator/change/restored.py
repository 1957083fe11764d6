"""What a KubeVirt object without status was before, and its way back. Pure; called by the reconciler.

A backup restores objects without their status. The strategy of the release to go back to is kept for as long as its way
is open (object_steps.cleanup), and it was printed before that of the newer release. One that was printed later was only
requested, perhaps after the upgrade was finalized, and opens no way: objects and guests may depend on the newer level.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from virt_core.objects.upgrade_status import Upgrade, WayBack

from virt_operator.change.strategies import read
from virt_operator.change.versions import is_older
from virt_operator.strategy.desired import (
    STRATEGY_IDENTIFIER,
    STRATEGY_REGISTRY,
    STRATEGY_RELEASE,
    STRATEGY_VERSION,
)
from virt_operator.strategy.install_strategy import is_planned
from virt_operator.strategy.ref import WORKLOADS, Ref
from virt_operator.suite.lost_status import recovered
from virt_operator.suite.observed import OwnedObject, SuiteObject

LOST = "the status of the KubeVirt object has been lost"
"""Why it is unknown what both releases know of hardware."""


def restored(suite: SuiteObject, owned: Mapping[Ref, OwnedObject]) -> SuiteObject:
    """`suite`, with what its status would say if it was never written."""
    found = recovered(suite, owned)
    back = _way_back(owned) if not suite.status.phase and suite.status.upgrade is None else None
    if back is None:
        return found
    upgrade = Upgrade(way_back=back, level=back.level)
    return msgspec.structs.replace(found, status=msgspec.structs.replace(found.status, upgrade=upgrade))


def _way_back(owned: Mapping[Ref, OwnedObject]) -> WayBack | None:
    """The way back from the newest release of which there is a workload; it is proven, and soaks, from now on."""
    releases = [_mark(live, STRATEGY_RELEASE) for ref, live in owned.items() if ref.kind in WORKLOADS]
    newest = next((name for name in releases if not any(is_older(name, other) for other in releases)), "")
    ids = {_mark(live, STRATEGY_IDENTIFIER) for ref, live in owned.items() if ref.kind in WORKLOADS}
    kept = [live for ref, live in owned.items() if ref.kind == "ConfigMap" and not is_planned(ref.name)]
    present = [
        live for live in kept if _mark(live, STRATEGY_RELEASE) == newest and _mark(live, STRATEGY_IDENTIFIER) in ids
    ]
    since = min((live.metadata.creation_timestamp for live in present), default="")
    # Timestamps of the API server have the same format, so they can be compared as texts.
    older = [
        live
        for live in kept
        if is_older(_mark(live, STRATEGY_RELEASE), newest) and "" < live.metadata.creation_timestamp < since
    ]
    first = min(older, key=lambda live: live.metadata.creation_timestamp, default=None)
    strategy = read(first, _mark(first, STRATEGY_IDENTIFIER)) if first is not None else None
    if first is None or strategy is None:
        return None
    return WayBack(
        version=_mark(first, STRATEGY_VERSION),
        registry=_mark(first, STRATEGY_REGISTRY),
        release=strategy.release,
        level=strategy.feature_level,
        deployment_id=strategy.deployment_id,
        since=since,
        hardware_at=since,
        hardware_unknown=LOST,
    )


def _mark(live: OwnedObject, name: str) -> str:
    return live.metadata.annotations.get(name, "")
