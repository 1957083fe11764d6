"""A change of release that has stopped because a pod failed its probes: what is kept of it, and what comes back. Pure.

Called by change/plan.py and by the steps. The KubeVirt object's status keeps the reason, because the way back removes
its traces. The same target is tried again if the KubeVirt object asks for another one in between, or if its annotation
kubevirt.io/retry-upgrade has another value.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from virt_core.conventions.labels import RETRY_UPGRADE
from virt_core.objects.meta import rfc3339
from virt_core.objects.upgrade_status import Stopped

from virt_operator.change.situation import Situation
from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite.observed import Fault, SuiteObject

_LONGEST = 512  # characters of a pod's answer


def standing(suite: SuiteObject, requested: InstallSettings) -> Stopped | None:
    """Why the change to `requested` has stopped; None if it has not, or is to be tried again."""
    status = suite.status
    stopped = status.upgrade.stopped if status.upgrade is not None else None
    if stopped is None or stopped.target != requested.deployment_id or stopped.retry != _retry(suite):
        return None
    return stopped if status.observed_deployment_id not in ("", stopped.target) else None


def coming_back(suite: SuiteObject, requested: InstallSettings) -> InstallSettings:
    """The settings of what was installed before the change."""
    status = suite.status
    if status.observed_deployment_config:
        return InstallSettings.from_json(status.observed_deployment_config)
    registry, tag = status.observed_kube_virt_registry, status.observed_kube_virt_version
    return msgspec.structs.replace(requested, registry=registry, tag=tag)  # a restored object has lost its status


def stopped_by(situation: Situation, component: str, what: str, fault: Fault, nodes: Iterable[str] = ()) -> Stopped:
    """`what` of `component`, for example "node node1", has failed a probe."""
    assert situation.settings is not None
    return Stopped(
        target=situation.settings.deployment_id,
        version=situation.settings.tag,
        release=situation.strategy.release,
        operation=situation.operation,
        component=component,
        object=what,
        probe=fault.probe,
        message=fault.message[:_LONGEST],
        at=rfc3339(situation.observed.now),
        retry=_retry(situation.suite),
        nodes=sorted(nodes),
    )


def _retry(suite: SuiteObject) -> str:
    return suite.metadata.annotations.get(RETRY_UPGRADE, "")
