"""How long certificates live and when they are renewed: spec.certificateRotateStrategy, read strictly. Pure.

Called by suite/spec.py and by the webhook, so that both refuse the same. Durations are Go's ("24h", "5m0s").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from virt_core.conventions.issuing import Issuing
from virt_core.objects.duration import go_duration, parse_duration

FIELD = "certificateRotateStrategy"
_SELF_SIGNED = f"spec.{FIELD}.selfSigned"
_DEPRECATED = {
    "caRotateInterval": ("ca", "duration"),
    "caOverlapInterval": ("ca", "renewBefore"),
    "certRotateInterval": ("server", "duration"),
}
# The kubelet takes up to a minute and a half to show a Secret's new content to a pod. A new authority goes that way
# twice before the old one ends: first its bundle, then the leaves that it signed.
_LEAST_BEFORE = {"ca": timedelta(minutes=4), "server": timedelta(minutes=2)}
_LEAST_AFTER = timedelta(minutes=1)  # between issuing and renewing, so that renewal is no endless loop


class RefusedRotation(ValueError):
    """The strategy cannot be followed. The message names field, value and what is allowed."""


@dataclass(frozen=True, slots=True)
class Span:
    """The life of one kind of certificate."""

    duration: timedelta
    renew_before: timedelta
    """Time from renewal to the end."""

    def issuing(self, signer: str = "") -> Issuing:
        """As it is told to whoever renews its own."""
        return Issuing(signer, self.duration.total_seconds(), self.renew_before.total_seconds())


@dataclass(frozen=True, slots=True)
class Rotation:
    """Both kinds."""

    authority: Span
    leaf: Span


DEFAULT = Rotation(
    Span(timedelta(days=7), timedelta(days=3.5)),  # lives as in KubeVirt, renewal at half of them
    Span(timedelta(hours=24), timedelta(hours=12)),
)


def rotation_of(spec: Mapping[str, Any]) -> Rotation:
    """What a KubeVirt object's spec asks for; fields that are absent or empty have their defaults.

    Raises:
        RefusedRotation: a value is malformed, out of its bounds, or says in the old way what another says in the new.
    """
    strategy = _mapping(spec.get(FIELD), f"spec.{FIELD}", ("selfSigned",))
    own = _mapping(strategy.get("selfSigned"), _SELF_SIGNED, ("ca", "server", *_DEPRECATED))
    old = [name for name in _DEPRECATED if own.get(name) not in (None, "")]
    new = [name for name in ("ca", "server") if own.get(name)]
    if old and new:
        raise RefusedRotation(
            f"{_SELF_SIGNED}.{old[0]}: {own[old[0]]!r} is the deprecated form of what {_SELF_SIGNED}.{new[0]} says; "
            f"use only ca and server"
        )
    texts = {kind: _texts(own, kind, bool(old)) for kind in ("ca", "server")}
    authority = _span("ca", texts["ca"], DEFAULT.authority)
    leaf = _span("server", texts["server"], DEFAULT.leaf)
    if leaf.duration > authority.duration:
        path, value = texts["server"].get("duration") or (f"{_SELF_SIGNED}.server.duration", go_duration(leaf.duration))
        raise RefusedRotation(
            f"{path}: {value!r} is longer than the authority's own {go_duration(authority.duration)}, "
            f"which is the most that is allowed"
        )
    return Rotation(authority, leaf)


def _mapping(value: Any, path: str, allowed: tuple[str, ...]) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RefusedRotation(f"{path}: {value!r} is not allowed, use an object with {', '.join(allowed)}")
    for name in value:
        if name not in allowed:
            raise RefusedRotation(f"{path}.{name}: {value[name]!r} is not allowed, use {', '.join(allowed)}")
    return value


def _texts(own: Mapping[str, Any], kind: str, deprecated: bool) -> dict[str, tuple[str, Any]]:
    """What is said of `kind`: path and value by "duration" and "renewBefore"."""
    if deprecated:
        deprecated_fields = {
            (of, what): name for name, (of, what) in _DEPRECATED.items() if own.get(name) not in (None, "")
        }
        return {
            what: (f"{_SELF_SIGNED}.{name}", own[name]) for (of, what), name in deprecated_fields.items() if of == kind
        }
    fields = _mapping(own.get(kind), f"{_SELF_SIGNED}.{kind}", ("duration", "renewBefore"))
    return {what: (f"{_SELF_SIGNED}.{kind}.{what}", value) for what, value in fields.items() if value not in (None, "")}


def _span(kind: str, texts: Mapping[str, tuple[str, Any]], default: Span) -> Span:
    duration = _duration(*texts["duration"]) if "duration" in texts else default.duration
    least, most = _LEAST_BEFORE[kind], duration - _LEAST_AFTER
    if duration < 2 * least:
        path, value = texts["duration"]
        raise RefusedRotation(f"{path}: {value!r} is not allowed, use at least {go_duration(2 * least)}")
    before = _duration(*texts["renewBefore"]) if "renewBefore" in texts else duration / 2
    if not least <= before <= most:
        path, value = texts["renewBefore"]
        raise RefusedRotation(
            f"{path}: {value!r} is not allowed, use {go_duration(least)} (new certificates must reach every pod) to "
            f"{go_duration(most)} (less than the duration, {go_duration(duration)})"
        )
    return Span(duration, before)


def _duration(path: str, value: Any) -> timedelta:
    parsed = parse_duration(value) if isinstance(value, str) else None
    if parsed is None:
        raise RefusedRotation(f"{path}: {value!r} is not a duration such as 24h or 5m0s")
    return parsed
