"""What was installed, read from the workloads when the KubeVirt object has no status. Pure; called by the reconciler.

A backup restores objects without their status. Everything runs, so nothing is installed for the first time: an order
must be kept, what is installed must be kept in repair, and users are served all along.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from virt_core.conventions import components

from virt_operator.strategy.desired import (
    STRATEGY_IDENTIFIER,
    STRATEGY_REGISTRY,
    STRATEGY_RELEASE,
    STRATEGY_VERSION,
)
from virt_operator.strategy.ref import WORKLOADS, Ref
from virt_operator.suite.observed import OwnedObject, SuiteObject


def recovered(suite: SuiteObject, owned: Mapping[Ref, OwnedObject]) -> SuiteObject:
    """`suite`, with what its status would say if it was never written and all workloads are of one installation."""
    if suite.status.phase:
        return suite
    found = {ref.name: live.metadata.annotations for ref, live in owned.items() if ref.kind in WORKLOADS}
    marks = {
        (
            annotations.get(STRATEGY_IDENTIFIER, ""),
            annotations.get(STRATEGY_VERSION, ""),
            annotations.get(STRATEGY_REGISTRY, ""),
            annotations.get(STRATEGY_RELEASE, ""),
        )
        for annotations in found.values()
    }
    if not found.keys() >= set(components.INSTALLED) or len(marks) != 1:
        return suite
    ((identifier, version, registry, release),) = marks
    status = msgspec.structs.replace(
        suite.status,
        phase="Deployed",
        observed_deployment_id=identifier,
        observed_kube_virt_version=version,
        observed_kube_virt_registry=registry,
        observed_release=release,
    )
    return msgspec.structs.replace(suite, status=status)
