"""Limits of 0, with which no migration begins: a way to hold all of them, and a trap. Pure; called by the webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIELD = "spec.configuration.migrations"
_LIMITS = {
    "parallelMigrationsPerCluster": "in the cluster",
    "parallelOutboundMigrationsPerNode": "of any node",
}


def limit_warnings(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """What a client shows to whoever writes the object; one line for each limit."""
    migrations = (spec.get("configuration") or {}).get("migrations") or {}
    return tuple(
        f"{_FIELD}.{field}: 0 lets no migration {who} begin; "
        "drains, evictions and workload updates wait until it is larger"
        for field, who in _LIMITS.items()
        if migrations.get(field) == 0
    )
