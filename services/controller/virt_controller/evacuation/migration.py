"""The VirtualMachineInstanceMigration that evacuates a guest. Pure; called by plan.py.

Its name follows from the guest and its last migrations. So a controller whose cache is behind, or a second leader,
meets the migration that is there already instead of creating another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from virt_core.conventions.migration import DESCHEDULER, EVACUATION, EVICTION_SOURCE
from virt_core.migration.admission import SYSTEM_CRITICAL, SYSTEM_MAINTENANCE
from virt_core.migration.migration import API_VERSION, KIND, VirtualMachineInstanceMigration
from virt_core.vmi.instance import VirtualMachineInstance

_PREFIX = "kubevirt-evacuation-"  # as in KubeVirt
_DIGITS = 10  # of the digest: 40 bits, for the guests of one namespace


def evacuation(vmi: VirtualMachineInstance, migrations: Sequence[VirtualMachineInstanceMigration]) -> dict[str, Any]:
    """The manifest. `migrations` are the guest's earlier ones, the newest last."""
    meta = vmi.metadata
    by_descheduler = meta.annotations.get(EVICTION_SOURCE) == DESCHEDULER
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": _PREFIX + next_name(meta.uid, migrations),
            "namespace": meta.namespace,
            "annotations": {EVACUATION: vmi.status.node_name},
        },
        "spec": {"vmiName": meta.name, "priority": SYSTEM_MAINTENANCE if by_descheduler else SYSTEM_CRITICAL},
    }


def next_name(uid: str, migrations: Sequence[VirtualMachineInstanceMigration]) -> str:
    """The variable part of the name of the guest's next migration. Timestamps are in seconds, so several may be its
    last ones. Old ones are deleted, so they do not count."""
    newest = migrations[-1].metadata.creation_timestamp if migrations else ""
    last = sorted(found.metadata.uid for found in migrations if found.metadata.creation_timestamp == newest)
    return hashlib.sha256(" ".join((uid, *last)).encode()).hexdigest()[:_DIGITS]
