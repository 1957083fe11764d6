"""The fields of metadata and conditions that the suite reads. Decoded by reflectors; never written back as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import msgspec


class OwnerReference(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One owner."""

    kind: str
    name: str
    uid: str
    controller: bool = False


class ObjectMeta(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The fields of metadata that decisions use."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: list[str] = []
    owner_references: list[OwnerReference] = []

    @property
    def controller_uid(self) -> str:
        """UID of the owner that controls the object; "" if nobody does. The API server allows one at most."""
        return next((owner.uid for owner in self.owner_references if owner.controller), "")


class PartialObject(msgspec.Struct, frozen=True, rename="camel"):
    """The metadata of any object."""

    metadata: ObjectMeta


class ObjectReference(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The object that an event is about."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""

    def to_builtins(self) -> dict[str, Any]:
        """The reference as a JSON object."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


class Condition(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A condition in KubeVirt's form. Times are RFC 3339 in seconds, as KubeVirt writes them."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_probe_time: str | None = None
    last_transition_time: str | None = None


class Typed(Protocol):
    """A condition of any object."""

    @property
    def type(self) -> str: ...


C = TypeVar("C", bound=Typed)


def condition_of(conditions: Iterable[C], kind: str) -> C | None:
    """The condition of that type; None: there is none."""
    return next((condition for condition in conditions if condition.type == kind), None)


def rfc3339(moment: datetime) -> str:
    """`moment` (UTC) as Kubernetes writes it, for example "2026-01-31T10:00:00Z"."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_since(moment: str | None, now: datetime) -> float:
    """How long ago `moment` (RFC 3339, as anybody may have stored it) was; 0 if it is not a time or in the future."""
    then = moment_of(moment)
    return max(0.0, (now - then).total_seconds()) if then is not None else 0.0


def moment_of(text: str | None) -> datetime | None:
    """RFC 3339, as anybody may have stored it; None if it is not a time."""
    try:
        then = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return then if then.tzinfo else then.replace(tzinfo=UTC)


def seconds_until(moment: str | None, now: datetime) -> float:
    """How long until `moment` (RFC 3339, as anybody may have stored it); 0 if it is not a time or in the past."""
    then = moment_of(moment)
    return max(0.0, (then - now).total_seconds()) if then is not None else 0.0


def with_conditions(current: Iterable[Condition], wanted: Iterable[Condition], now: datetime) -> list[Condition]:
    """`current` with the conditions in `wanted` replaced by type. Without a change of status a condition keeps its
    transition time."""
    result = {condition.type: condition for condition in current}
    for condition in wanted:
        old = result.get(condition.type)
        if old is not None and old.status == condition.status:
            moved = old.last_transition_time
        else:
            moved = rfc3339(now)
        result[condition.type] = msgspec.structs.replace(condition, last_transition_time=moved)
    return list(result.values())
