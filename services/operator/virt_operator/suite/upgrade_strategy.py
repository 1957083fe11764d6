"""The pace of an upgrade: spec.upgradeStrategy, decoded strictly. Pure.

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
_FIELDS = ("canary", "waveSize", "pauseBetweenWaves", "paused", "probeGuest")
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


def pace_of(spec: Mapping[str, Any]) -> Pace:
    """The pace in a KubeVirt object's spec, with defaults for absent fields.

    Raises:
        RefusedUpgradeStrategy: a field is unknown, or a value malformed or out of bounds.
    """
    strategy = spec.get(FIELD)
    if strategy is None:
        return DEFAULT
    if not isinstance(strategy, Mapping):
        raise RefusedUpgradeStrategy(
            f"spec.{FIELD}: {strategy!r} is not allowed, use an object with {', '.join(_FIELDS)}"
        )
    for name in strategy:
        if name not in _FIELDS:
            raise RefusedUpgradeStrategy(
                f"spec.{FIELD}.{name}: {strategy[name]!r} is not supported by this release, use {', '.join(_FIELDS)}"
            )
    nodes, percent = _wave_size(strategy.get("waveSize"))
    return Pace(
        _canary(strategy.get("canary")),
        nodes,
        percent,
        _pause(strategy),
        _switch(PAUSED, strategy.get("paused"), DEFAULT.paused),
        _switch(f"spec.{FIELD}.probeGuest", strategy.get("probeGuest"), DEFAULT.probe_guest),
    )


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


def _pause(strategy: Mapping[str, Any]) -> timedelta:
    value = strategy.get("pauseBetweenWaves")
    if value is None:
        return timedelta(0)
    parsed = parse_duration(value) if isinstance(value, str) else None
    if parsed is None:
        raise RefusedUpgradeStrategy(
            f"spec.{FIELD}.pauseBetweenWaves: {value!r} is not a duration of 0s or more, such as 30s or 1h0m0s"
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
