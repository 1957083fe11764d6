"""The pace of an upgrade and when it is finalized: spec.upgradeStrategy, decoded strictly. Pure.

Ours, KubeVirt has no such field. Called by suite/spec.py, so that the webhook and the reconciler refuse the same
values, and by change/plan.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeGuard

from virt_core.objects.duration import parse_duration

FIELD = "upgradeStrategy"
PAUSED = f"spec.{FIELD}.paused"
AUTO, MANUAL = "Auto", "Manual"
"""Values of spec.upgradeStrategy.finalize."""

_FIELDS = ("canary", "waveSize", "pauseBetweenWaves", "paused", "probeGuest", "finalize", "soak")
_WHOLE = 100  # percent


class RefusedUpgradeStrategy(ValueError):
    """The strategy is invalid. The message names field, value and what is allowed."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How virt-handler is replaced on the nodes, wave after wave."""

    canary: int = 1
    """Nodes of the first wave; 0: it is as large as the others."""

    nodes: int = 0
    """Nodes of each further wave; 0: `percent` of them."""

    percent: int = 20
    pause: timedelta = timedelta(0)
    """Between the proof of a wave and the next wave."""

    paused: bool = False
    """Whether nothing further begins."""

    probe_guest: bool = True
    """Whether a guest starts and ends on each node of a wave, to prove its new handler."""

    def size(self, number: int, nodes: int) -> int:
        """How many nodes the wave of that number has, of so many in the cluster. The first is number 1."""
        if number == 1 and self.canary:
            return self.canary
        return self.nodes or max(1, nodes * self.percent // _WHOLE)


DEFAULT = Pace()


@dataclass(frozen=True, slots=True)
class Finalizing:
    """When an upgrade is finalized. An administrator may do it at any time by an annotation."""

    manual: bool = False
    """Whether only the annotation does it."""

    soak: timedelta = timedelta(hours=1)
    """How long the complete upgrade must have been without trouble."""


ON_ITS_OWN = Finalizing()


def finalizing_of(spec: Mapping[str, Any]) -> Finalizing:
    """When to finalize by a KubeVirt object's spec, with defaults for absent fields.

    Raises:
        RefusedUpgradeStrategy: a field is unknown, or a value malformed.
    """
    strategy = _strategy(spec)
    wanted = strategy.get("finalize")
    if wanted not in (None, AUTO, MANUAL):
        raise RefusedUpgradeStrategy(f"spec.{FIELD}.finalize: {wanted!r} is not one of {AUTO}, {MANUAL}")
    soak = _duration(strategy, "soak")
    return Finalizing(wanted == MANUAL, ON_ITS_OWN.soak if soak is None else soak)


def pace_of(spec: Mapping[str, Any]) -> Pace:
    """The pace in a KubeVirt object's spec, with defaults for absent fields.

    Raises:
        RefusedUpgradeStrategy: a field is unknown, or a value malformed or out of bounds.
    """
    strategy = _strategy(spec)
    nodes, percent = _wave_size(strategy.get("waveSize"))
    pause = _duration(strategy, "pauseBetweenWaves") or timedelta(0)
    paused = _switch(PAUSED, strategy.get("paused"), DEFAULT.paused)
    probe_guest = _switch(f"spec.{FIELD}.probeGuest", strategy.get("probeGuest"), DEFAULT.probe_guest)
    return Pace(_canary(strategy.get("canary")), nodes, percent, pause, paused, probe_guest)


def _strategy(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The strategy, whose fields are all known; empty if there is none."""
    strategy = spec.get(FIELD)
    if strategy is None:
        return {}
    if not isinstance(strategy, Mapping):
        raise RefusedUpgradeStrategy(
            f"spec.{FIELD}: {strategy!r} is not allowed, use an object with {', '.join(_FIELDS)}"
        )
    for name in strategy:
        if name not in _FIELDS:
            raise RefusedUpgradeStrategy(
                f"spec.{FIELD}.{name}: {strategy[name]!r} is not supported by this release, use {', '.join(_FIELDS)}"
            )
    return strategy


def _canary(value: Any) -> int:
    if value is None:
        return DEFAULT.canary
    if not _is_number(value) or value < 0:
        raise RefusedUpgradeStrategy(f"spec.{FIELD}.canary: {value!r} is not a number of nodes from 0")
    return value


def _wave_size(value: Any) -> tuple[int, int]:
    """Nodes, and percent of them."""
    if value is None:
        return DEFAULT.nodes, DEFAULT.percent
    if _is_number(value) and value >= 1:
        return value, DEFAULT.percent
    if isinstance(value, str) and value.endswith("%") and value[:-1].isascii() and value[:-1].isdigit():
        percent = int(value[:-1][:4])
        if 1 <= percent <= _WHOLE:
            return 0, percent
    raise RefusedUpgradeStrategy(
        f"spec.{FIELD}.waveSize: {value!r} is not a number of nodes from 1, or a percentage of them from 1% to 100%"
    )


def _duration(strategy: Mapping[str, Any], field: str) -> timedelta | None:
    value = strategy.get(field)
    if value is None:
        return None
    parsed = parse_duration(value) if isinstance(value, str) else None
    if parsed is None:
        raise RefusedUpgradeStrategy(
            f"spec.{FIELD}.{field}: {value!r} is not a duration of 0s or more, such as 30s or 1h0m0s"
        )
    return parsed


def _switch(path: str, value: Any, default: bool) -> bool:
    if value is None:
        return default
    if not isinstance(value, bool):
        raise RefusedUpgradeStrategy(f"{path}: {value!r} is not true or false")
    return value


def _is_number(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
