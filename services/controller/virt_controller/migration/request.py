"""A VirtualMachineInstanceMigration that the suite itself requests. Pure; called by evacuation/ and workload_update/.

Its name follows from the guest and its last migrations. So a controller whose cache is behind, or a second leader,
meets the migration that is there already instead of creating another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from virt_core.migration.migration import API_VERSION, KIND, VirtualMachineInstanceMigration
from virt_core.vmi.instance import VirtualMachineInstance

_DIGITS = 10  # of the digest: 40 bits, for the guests of one namespace


def request(
    vmi: VirtualMachineInstance,
    migrations: Sequence[VirtualMachineInstanceMigration],
    *,
    prefix: str,
    annotations: Mapping[str, str],
    priority: str,
) -> dict[str, Any]:
    """The manifest. `migrations` are the guest's earlier ones, the newest last."""
    meta = vmi.metadata
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": prefix + _next_name(meta.uid, migrations),
            "namespace": meta.namespace,
            "annotations": dict(annotations),
        },
        "spec": {"vmiName": meta.name, "priority": priority},
    }


def _next_name(uid: str, migrations: Sequence[VirtualMachineInstanceMigration]) -> str:
    """The variable part of the name. Timestamps are in seconds, so several migrations may be the guest's last ones. Old
    ones are deleted, so they do not count."""
    newest = migrations[-1].metadata.creation_timestamp if migrations else ""
    last = sorted(found.metadata.uid for found in migrations if found.metadata.creation_timestamp == newest)
    return hashlib.sha256(" ".join((uid, *last)).encode()).hexdigest()[:_DIGITS]
