"""What a KubeVirt object says of Prometheus, and what is known of the cluster's. Pure.

Observed by reconcile/prometheus.py, decided in change/monitoring.py. Nothing of the suite waits for any of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from virt_core.validation.refusal import DNS_LABEL, DNS_NAME, display

from virt_operator.strategy.monitoring import DEFAULT_ACCOUNT, DEFAULT_NAMESPACES, Place
from virt_operator.strategy.ref import Ref

_ALLOWED = {"monitorNamespace": DNS_LABEL, "serviceMonitorNamespace": DNS_LABEL, "monitorAccount": DNS_NAME}
FIELDS = tuple(_ALLOWED)
"""Of a KubeVirt object's spec."""

_AGAIN, _AGAIN_LAST = 10.0, 300.0  # seconds after a refused write


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where to look for Prometheus. Defaults are KubeVirt's."""

    namespaces: tuple[str, ...]
    """In the first of these that has the account."""

    account: str
    monitors: str
    """Of the ServiceMonitor; "": in the same namespace."""

    explicit: bool
    """Whether the KubeVirt object says so."""

    def place(self, with_account: frozenset[str]) -> Place | None:
        """Where it is; None if no namespace has the account."""
        found = next((namespace for namespace in self.namespaces if namespace in with_account), None)
        return Place(found, self.account, self.monitors or found) if found is not None else None


@dataclass(frozen=True, slots=True)
class Refused:
    """A write that the API server has refused. The same one is tried again at `until`, another one at once."""

    action: object
    """The whole action (suite/actions.py), with desired and live object."""

    why: str
    times: int
    """In a row."""

    at: datetime

    @property
    def until(self) -> datetime:
        """When it is tried again."""
        return self.at + timedelta(seconds=min(_AGAIN * 2 ** min(self.times - 1, 10), _AGAIN_LAST))


@dataclass(frozen=True, slots=True)
class Prometheus:
    """What the cluster has. By default, nothing."""

    served: frozenset[str] = frozenset()
    """Kinds of the Prometheus operator that the API server serves."""

    unlisted: Mapping[str, str] = field(default_factory=dict)
    """Served kinds whose objects are not known, with the reason; "" if they are about to be."""

    namespaces: frozenset[str] | None = None
    """Those with the service account; None while it is unknown."""

    trouble: str = ""
    """Why it is unknown; "" if it is about to be known."""

    refused: Mapping[Ref, Refused] = field(default_factory=dict)


def refusal_of(spec: Mapping[str, Any]) -> str | None:
    """Why the fields are refused; None if they are not."""
    for name, allowed in _ALLOWED.items():
        value = spec.get(name)
        if value not in (None, "") and not (isinstance(value, str) and allowed.accepts(value)):
            return f"spec.{name}: {display(value)} is not allowed, use {allowed.words}"
    return None


def wanted(spec: Mapping[str, Any]) -> Wanted | None:
    """Where to look; None if the fields are refused."""
    if refusal_of(spec) is not None:
        return None
    namespace, account = spec.get("monitorNamespace"), spec.get("monitorAccount")
    return Wanted(
        namespaces=(namespace,) if namespace else DEFAULT_NAMESPACES,
        account=account or DEFAULT_ACCOUNT,
        monitors=spec.get("serviceMonitorNamespace") or "",
        explicit=any(spec.get(name) for name in FIELDS),
    )


def attempted(
    known: Mapping[Ref, Refused], ref: Ref, action: object, why: str | None, now: datetime
) -> dict[Ref, Refused]:
    """What is known after an action has been tried; `why` it was refused, None if it was not."""
    others = {other: refused for other, refused in known.items() if other != ref}
    if why is None:
        return others
    before = known.get(ref)
    times = before.times + 1 if before is not None and before.action == action else 1
    return {**others, ref: Refused(action, why, times, now)}
