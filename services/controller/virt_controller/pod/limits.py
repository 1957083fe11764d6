"""Limits of a launcher pod in a namespace that requires limits. Pure.

Read by vmi/namespaces.py when the API server has refused a pod; applied by pod/template.py. As in KubeVirt, if the user
sets no limit: the memory limit is twice the request (or the ratio in a label of the namespace), the CPU limit is the
number of vCPUs. A LimitRange's maxima and ratios bound both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from math import ceil
from typing import Any

import msgspec
from virt_core.objects.quantity import parse_quantity

RATIO_LABEL = "alpha.kubevirt.io/auto-memory-limits-ratio"
"""KubeVirt's label on namespaces: the memory limit as a multiple of the request, 1 or more."""

_RATIO = Decimal(2)
_LIMITED = ("cpu", "memory")


class ScopeTerm(msgspec.Struct, frozen=True, rename="camel"):
    """A term of a quota's scopeSelector."""

    scope_name: str
    operator: str
    values: list[str] = []


class ScopeSelector(msgspec.Struct, frozen=True, rename="camel"):
    """All terms must match."""

    match_expressions: list[ScopeTerm] = []


class QuotaSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The resources and pods that a ResourceQuota counts."""

    hard: dict[str, Any] = {}
    scopes: list[str] = []
    scope_selector: ScopeSelector = ScopeSelector()


class Quota(msgspec.Struct, frozen=True):
    """A ResourceQuota."""

    spec: QuotaSpec = QuotaSpec()


class RangeItem(msgspec.Struct, frozen=True, rename="camel"):
    """A rule of a LimitRange."""

    type: str
    max: dict[str, Any] = {}
    default: dict[str, Any] = {}
    max_limit_request_ratio: dict[str, Any] = {}


class RangeSpec(msgspec.Struct, frozen=True):
    """The rules."""

    limits: list[RangeItem] = []


class LimitRange(msgspec.Struct, frozen=True):
    """A LimitRange."""

    spec: RangeSpec = RangeSpec()


@dataclass(frozen=True, slots=True)
class NamespaceRules:
    """A namespace's rules for the resources of its pods."""

    quotas: tuple[Quota, ...] = ()
    ranges: tuple[LimitRange, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that a namespace requires of a launcher pod."""

    names: frozenset[str]
    """Resources that need a limit: "cpu", "memory"."""

    memory_ratio: Decimal = _RATIO
    most: Mapping[str, Decimal] = field(default_factory=dict)
    """By resource, the maximum limit of a container."""

    most_of_pod: Mapping[str, Decimal] = field(default_factory=dict)
    """By resource, the maximum sum of the limits of a pod's containers."""

    ratios: Mapping[str, Decimal] = field(default_factory=dict)
    """By resource, the maximum ratio of limit to request."""


def required_limits(rules: NamespaceRules, priority_class: str) -> Limits | None:
    """The limits that a launcher pod of that priority class needs; None if it needs none."""
    counted = [quota.spec.hard for quota in rules.quotas if _counts(quota.spec, priority_class)]
    items = [item for found in rules.ranges for item in found.spec.limits if item.type in ("Container", "Pod")]
    names = {name for name in _LIMITED if any(f"limits.{name}" in hard for hard in counted)}
    # With a default or a bound in a range, a container without a limit gets one that may be below its request.
    names |= {name for name in _LIMITED for item in items if _bounds(item, name)}
    if not names:
        return None
    return Limits(
        frozenset(names),
        _memory_ratio(rules.labels),
        _least(item.max for item in items if item.type == "Container"),
        _least(item.max for item in items if item.type == "Pod"),
        _least(item.max_limit_request_ratio for item in items),
    )


def with_limits(
    requirements: dict[str, Any], vcpus: int, limits: Limits, beside: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """`requirements` of the launcher's container with the missing limits added. `beside` are the resources of the
    containers that run beside it."""
    wanted = {"cpu": Decimal(vcpus), "memory": _quantity(requirements["requests"]["memory"]) * limits.memory_ratio}
    others = list(beside)
    added = {}
    for name in sorted(limits.names - requirements["limits"].keys()):
        request = _quantity(requirements["requests"][name])
        bounds = [wanted[name]]
        if name in limits.most:
            bounds.append(limits.most[name])
        if name in limits.most_of_pod:
            bounds.append(limits.most_of_pod[name] - sum(_quantity(other["limits"][name]) for other in others))
        if name in limits.ratios:
            bounds.append(request * limits.ratios[name])
        limit = max(request, min(bounds))
        added[name] = str(ceil(limit)) if name == "memory" else f"{ceil(limit * 1000)}m"
    return {**requirements, "limits": {**requirements["limits"], **added}}


def _counts(quota: QuotaSpec, priority_class: str) -> bool:
    """Whether the quota counts launcher pods, which have requests and no deadline."""
    terms = [*(ScopeTerm(scope, "Exists") for scope in quota.scopes), *quota.scope_selector.match_expressions]
    return all(_matches(term, priority_class) for term in terms)


def _matches(term: ScopeTerm, priority_class: str) -> bool:
    if term.scope_name == "PriorityClass":
        there = bool(priority_class)
        named = priority_class in term.values
        return {"Exists": there, "DoesNotExist": not there, "In": named, "NotIn": not named}.get(term.operator, True)
    return term.scope_name not in ("BestEffort", "Terminating")


def _bounds(item: RangeItem, name: str) -> bool:
    return name in item.max or name in item.max_limit_request_ratio or name in item.default


def _least(found: Iterable[Mapping[str, Any]]) -> dict[str, Decimal]:
    result: dict[str, Decimal] = {}
    for amounts in found:
        for name in _LIMITED:
            if name in amounts:
                value = _quantity(amounts[name])
                result[name] = min(value, result.get(name, value))
    return result


def _memory_ratio(namespace_labels: Mapping[str, str]) -> Decimal:
    try:
        ratio = Decimal(namespace_labels.get(RATIO_LABEL, str(_RATIO)))
    except InvalidOperation:
        return _RATIO
    return ratio if ratio.is_finite() and ratio >= 1 else _RATIO


def _quantity(value: object) -> Decimal:
    return parse_quantity(str(value))
