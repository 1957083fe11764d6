"""KubeVirt's feature gates: a cluster that moves over from KubeVirt brings its object along. Pure; called by the
webhook, which warns, and by status.py, which reports them.

A gate never is a reason to refuse the object. What it would switch on is either always on here or refused by name in
the objects that use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ALWAYS_ON = frozenset(
    {
        "AutoResourceLimitsGate",
        "BochsDisplayForEFIGuests",
        "CPUNodeDiscovery",
        "LiveMigration",
        "MigrationPriorityQueue",
        "NodeRestriction",
        "NonRoot",
        "PSA",
    }
)
"""Of features that need no gate any more, in KubeVirt or here."""

_FIELD = "spec.configuration.developerConfiguration.featureGates"


def without_effect(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Gates in a KubeVirt object's spec of features that this release does not have."""
    return tuple(gate for gate in _gates(spec) if gate not in ALWAYS_ON)


def gate_warnings(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """What a client shows to whoever writes the object; one line for each gate."""
    found = []
    for gate in _gates(spec):
        why = "is always on" if gate in ALWAYS_ON else "is of a feature that this release does not have"
        found.append(f"{_FIELD}: {gate[:63]!r} has no effect, it {why}")
    return tuple(found)


def _gates(spec: Mapping[str, Any]) -> tuple[str, ...]:
    developer = (spec.get("configuration") or {}).get("developerConfiguration") or {}
    return tuple(dict.fromkeys(str(gate) for gate in developer.get("featureGates") or ()))
