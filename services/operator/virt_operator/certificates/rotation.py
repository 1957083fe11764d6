"""Lifetime and renewal of certificates: spec.certificateRotateStrategy, decoded strictly. Pure.

Called by suite/spec.py and by the webhook, so that both refuse the same values. Durations are Go's ("24h", "5m0s").
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
# The kubelet takes up to 90 seconds to update a mounted Secret. A rollover needs this twice before the old authority
# expires: for the bundle, and for the new leaves.
_LEAST_BEFORE = {"ca": timedelta(minutes=4), "server": timedelta(minutes=2)}
_LEAST_AFTER = timedelta(minutes=1)  # between issue and renewal, to prevent an endless loop


class RefusedRotation(ValueError):
    """The strategy is invalid. The message names field, value and what is allowed."""


@dataclass(frozen=True, slots=True)
class Span:
    """The lifetime of a kind of certificate."""

    duration: timedelta
    renew_before: timedelta
    """Time from renewal to expiry."""

    def issuing(self, signer: str = "") -> Issuing:
        """The rules for pods that renew their own leaves."""
        return Issuing(signer, self.duration.total_seconds(), self.renew_before.total_seconds())


@dataclass(frozen=True, slots=True)
class Rotation:
    """The lifetimes of authority and leaves."""

    authority: Span
    leaf: Span


DEFAULT = Rotation(
    Span(timedelta(days=7), timedelta(days=3.5)),  # lifetimes as in KubeVirt, renewal at half-life
    Span(timedelta(hours=24), timedelta(hours=12)),
)


def rotation_of(spec: Mapping[str, Any]) -> Rotation:
    """The rotation in a KubeVirt object's spec, with defaults for absent or empty fields.

    Raises:
        RefusedRotation: a value is malformed or out of bounds, or deprecated and new fields are mixed.
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
    """Path and value of the fields of `kind`, by "duration" and "renewBefore"."""
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
